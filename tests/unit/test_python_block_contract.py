"""The execution contract of Python blocks, one test per rule."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.attempts import Bench

from weft.blocks import python
from weft.blocks.python import PythonLanguage
from weft.wire.envelope import Input
from weft.wire.result import Completed


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def fails_with(bench: Bench, code: str, **more: Any) -> str:
    return str(bench.errored(code, **more).error["error"])


class TestNamespace:
    @pytest.mark.parametrize(
        "block_type", ["data_loader", "transformer", "data_exporter", "custom"]
    )
    def test_the_decorator_is_named_as_the_type(self, bench: Bench, block_type: str) -> None:
        code = f"@{block_type}\ndef f():\n    return 5\n"
        assert bench.values(code, type=block_type) == [5]

    def test_the_decorator_may_be_called(self, bench: Bench) -> None:
        assert bench.values("@data_loader()\ndef f(): return 1") == [1]
        assert bench.values("@data_loader(name='x')\ndef f(): return 2") == [2]

    def test_the_guarded_import_of_mage_is_not_reached(self, bench: Bench) -> None:
        code = """
            if 'data_loader' not in globals():
                from mage_ai.data_preparation.decorators import data_loader
            if 'test' not in globals():
                from mage_ai.data_preparation.decorators import test
            @data_loader
            def f(): return 1
            @test
            def check(out): assert out == 1
        """
        assert bench.values(code) == [1]

    def test_the_decorator_of_another_type_is_not_there(self, bench: Bench) -> None:
        assert "name 'transformer' is not defined" in fails_with(
            bench, "@transformer\ndef f(): return 1"
        )

    def test_a_decorator_imported_from_the_sdk_works(self, bench: Bench) -> None:
        code = """
            from weft.sdk import data_loader, test
            @data_loader
            def f(): return 1
            @test
            def check(out): assert out == 2
        """
        assert "Failed to pass tests for block block" in fails_with(bench, code)

    def test_upstream_outputs_are_there_by_uuid_and_by_number(self, bench: Bench) -> None:
        inputs = (bench.upstream(10, uuid="left"), bench.upstream(20, uuid="right"))
        code = "@transformer\ndef f(a, b): return {'g': [left, df_1, right, df_2]}"
        assert bench.values(code, type="transformer", inputs=inputs) == [{"g": [10, 10, 20, 20]}]

    def test_nothing_of_an_earlier_block_is_left(self, bench: Bench) -> None:
        bench.completed("leftover = 1\n@data_loader\ndef f(): return 1")
        assert "leftover" in fails_with(bench, "@data_loader\ndef f(): return leftover")

    def test_it_is_not_the_main_program_and_knows_its_file(self, bench: Bench) -> None:
        code = """
            if __name__ == '__main__':
                raise SystemExit('ran as a script')
            @data_loader
            def f(): return {'file': __file__}
        """
        [value] = bench.values(code)
        assert value == {"file": str(bench.path / "shop/data_loaders/block.py")}

    def test_dataclasses_with_postponed_annotations_work(self, bench: Bench) -> None:
        code = """
            from __future__ import annotations
            from dataclasses import dataclass
            import inspect
            @dataclass
            class Row:
                a: int
            @data_loader
            def f(): return {'a': Row(4).a, 'source': inspect.getsource(f).splitlines()[1]}
        """
        assert bench.values(code) == [
            {
                "a": 4,
                "source": "def f(): return {'a': Row(4).a, "
                "'source': inspect.getsource(f).splitlines()[1]}",
            }
        ]

    def test_our_own_future_imports_do_not_leak_into_the_block(self, bench: Bench) -> None:
        code = "@data_loader\ndef f(a: int = 1): return 1\nT = f.__annotations__['a']\n"
        code += "assert T is int\n@data_loader\ndef g(): return 2"
        assert "expected to have 1 arguments" in fails_with(bench, code)

    def test_both_ways_to_import_from_the_project_work(self, bench: Bench) -> None:
        bench.envelope("")
        folder = bench.path / "shop" / "prices_of_shop"
        folder.mkdir()
        (folder / "__init__.py").write_text("RATE = 3\n")
        code = """
            from shop.prices_of_shop import RATE as one
            from prices_of_shop import RATE as two
            @data_loader
            def f(): return one + two
        """
        assert bench.values(code) == [6]


class TestWhichFunctionRuns:
    def test_the_first_decorated_function_wins(self, bench: Bench) -> None:
        code = "@data_loader\ndef a(): return 1\n@data_loader\ndef b(): return 2"
        assert bench.values(code) == [1]

    def test_without_a_decorated_function_the_block_fails(self, bench: Bench) -> None:
        assert "does not have any decorated functions" in fails_with(bench, "def f(): return 1")

    def test_preprocessers_run_first_and_share_the_context(self, bench: Bench) -> None:
        code = """
            @preprocesser
            def one(*args, **kwargs): kwargs['context']['count'] = 1; return 'dropped'
            @preprocesser
            def two(*args, **kwargs): kwargs['context']['count'] += 1
            @data_loader
            def f(**kwargs): return kwargs['context']
        """
        assert bench.values(code) == [{"count": 2}]

    def test_an_async_function_is_awaited(self, bench: Bench) -> None:
        code = """
            import asyncio
            @data_loader
            async def f():
                await asyncio.sleep(0)
                return [1, 2]
            @test
            async def check(a, b):
                assert (a, b) == (1, 2)
        """
        assert bench.values(code) == [1, 2]


class TestArguments:
    """N parameters, I inputs, U upstream blocks."""

    def run(self, bench: Bench, signature: str, inputs: int) -> str | None:
        code = f"@transformer\ndef f({signature}): return 1"
        given = tuple(bench.upstream(n, uuid=f"up_{n}") for n in range(inputs))
        result = bench.run(code, type="transformer", inputs=given)
        return None if isinstance(result, Completed) else str(result.error["error"])

    def test_more_parameters_than_upstream_blocks(self, bench: Bench) -> None:
        message = self.run(bench, "a, b", 1)
        assert message is not None
        assert "Block block may be missing upstream dependencies" in message
        assert "expected to have 2 arguments, but only received 1" in message

    def test_more_parameters_with_var_args_says_at_least(self, bench: Bench) -> None:
        message = self.run(bench, "a, b, *rest", 1)
        assert message is not None
        assert "expected to have at least 2 arguments, but only received 1" in message

    def test_fewer_parameters_than_upstream_blocks(self, bench: Bench) -> None:
        message = self.run(bench, "a", 2)
        assert message is not None
        assert "may have too many upstream dependencies" in message
        assert "It expected to have 1 arguments, but received 2" in message

    def test_keywords_alone_do_not_take_a_second_input(self, bench: Bench) -> None:
        message = self.run(bench, "a, **kwargs", 2)
        assert message is not None
        assert "may have too many upstream dependencies" in message

    def test_a_default_counts_as_required(self, bench: Bench) -> None:
        assert "missing upstream dependencies" in str(self.run(bench, "a, b=1", 1))

    def test_a_keyword_only_parameter_counts_as_required(self, bench: Bench) -> None:
        assert "missing upstream dependencies" in str(self.run(bench, "a, *, b=1", 1))

    def test_a_keyword_only_parameter_cannot_take_an_input(self, bench: Bench) -> None:
        assert "cannot be called" in str(self.run(bench, "a, *, b", 2))

    def test_a_parameter_named_as_a_keyword_is_told_clearly(self, bench: Bench) -> None:
        assert "context" in str(self.run(bench, "context, **kwargs", 1))

    @pytest.mark.parametrize(
        ("signature", "inputs"), [("a, b", 2), ("*args", 3), ("a, *args", 2), ("*a, **k", 2)]
    )
    def test_what_fits_is_accepted(self, bench: Bench, signature: str, inputs: int) -> None:
        assert self.run(bench, signature, inputs) is None

    def test_inputs_come_in_the_order_of_the_upstream_blocks(self, bench: Bench) -> None:
        one, two = bench.upstream(1, uuid="one"), bench.upstream(2, uuid="two")
        assert bench.received(one, two) == [1, 2]
        assert bench.received(two, one) == [2, 1]


class TestInputs:
    def test_one_output_is_the_value(self, bench: Bench) -> None:
        assert bench.received(bench.upstream({"a": 1})) == [{"a": 1}]

    def test_several_outputs_are_a_list(self, bench: Bench) -> None:
        assert bench.received(bench.upstream(1, "b")) == [[1, "b"]]

    def test_outputs_are_ordered_by_number_and_not_as_text(self, bench: Bench) -> None:
        up = bench.upstream(*range(12))
        shuffled = Input(
            up.block_uuid, up.block_type, tuple(sorted(up.outputs, key=lambda o: o.name))
        )
        assert [o.name for o in shuffled.outputs][2] == "output_10"
        assert bench.received(shuffled) == [list(range(12))]

    def test_no_output_is_an_empty_list(self, bench: Bench) -> None:
        assert bench.received(bench.upstream()) == [[]]

    def test_a_sensor_is_an_empty_list(self, bench: Bench) -> None:
        assert bench.received(bench.upstream(1, type="sensor")) == [[]]

    def test_a_missing_file_fails_the_block_and_names_it(self, bench: Bench) -> None:
        up = bench.upstream("x" * 5000)
        Path(up.outputs[0].uri).unlink()
        message = fails_with(
            bench, "@transformer\ndef f(a): return a", type="transformer", inputs=(up,)
        )
        assert "output_0" in message
        assert "gone" in message


class TestKeywords:
    def test_a_function_with_keywords_gets_them_all(self, bench: Bench) -> None:
        code = """
            @data_loader
            def f(**kwargs):
                kwargs['logger'].info('here', rows=2)
                return {k: v for k, v in kwargs.items() if k != 'logger'}
        """
        [value] = bench.values(
            code,
            variables={"env": "prod", "mine": [1]},
            configuration={"limit": 5},
            try_number=3,
        )
        assert value == {
            "env": "prod",
            "mine": [1],
            "pipeline_uuid": "pipe",
            "block_uuid": "block",
            "repo_path": str(bench.path / "shop"),
            "configuration": {"limit": 5},
            "context": {},
            "retry": {"attempts": 3},
        }
        assert [(line["message"], line["rows"]) for line in bench.lines()] == [("here", 2)]

    def test_a_function_without_gets_none(self, bench: Bench) -> None:
        assert bench.values("@data_loader\ndef f(): return 1", variables={"a": 1}) == [1]

    def test_no_parameter_is_filled_by_name(self, bench: Bench) -> None:
        message = fails_with(
            bench, "@data_loader\ndef f(mine, **kwargs): return mine", variables={"mine": 1}
        )
        assert "missing upstream dependencies" in message


class TestReturnValues:
    @pytest.mark.parametrize(
        ("returned", "stored"),
        [
            ("None", []),
            ("(1, 2)", [1, 2]),
            ("[1, 2]", [1, 2]),
            ("['x']", ["x"]),
            ("[[1, 2, 3]]", [[1, 2, 3]]),
            ("[]", []),
            ("()", []),
            ("(1, None)", [1, None]),
            ("{'a': 1}", [{"a": 1}]),
            ("'text'", ["text"]),
            ("{1, 2}", [{1, 2}]),
            ("0", [0]),
            ("False", [False]),
            ("(n for n in range(3))", [[0, 1, 2]]),
        ],
    )
    def test_becomes_outputs(self, bench: Bench, returned: str, stored: list[object]) -> None:
        result = bench.completed(f"@data_loader\ndef f(): return {returned}")
        names = [output.name for output in result.outputs]
        assert names == [f"output_{n}" for n in range(len(stored))]
        assert bench.values(f"@data_loader\ndef f(): return {returned}") == stored

    def test_a_generator_function_is_one_output_the_list_of_its_items(self, bench: Bench) -> None:
        assert bench.values("@data_loader\ndef f():\n    yield 1\n    yield 2") == [[1, 2]]

    def test_an_async_generator_too(self, bench: Bench) -> None:
        assert bench.values("@data_loader\nasync def f():\n    yield 1\n    yield 2") == [[1, 2]]

    def test_a_long_list_of_plain_values_is_one_file_and_reads_alike(self, bench: Bench) -> None:
        result = bench.completed("@data_loader\ndef f(): return [{'n': n} for n in range(500)]")
        assert [output.kind for output in result.outputs] == ["values"]
        assert bench.received(Input("up", "data_loader", result.outputs)) == [
            [{"n": n} for n in range(500)]
        ]

    def test_a_long_list_spreads_over_the_tests_arguments(self, bench: Bench) -> None:
        code = """
            @data_loader
            def f(): return list(range(40))
            @test
            def check(*outputs): assert len(outputs) == 40
        """
        bench.completed(code)


class TestTests:
    def test_outputs_are_spread_and_the_summary_is_logged(self, bench: Bench) -> None:
        code = """
            @data_loader
            def f(): return 1, 2
            @test
            def first(a, b): assert (a, b) == (1, 2)
            @test
            def second(a, b, **kwargs): assert kwargs['mine'] == 3
        """
        bench.completed(code, variables={"mine": 3})
        assert bench.messages() == ["2/2 tests passed."]

    def test_a_failed_assertion_counts_and_the_others_still_run(self, bench: Bench) -> None:
        code = """
            @data_loader
            def f(): return 1
            @test
            def bad(out): assert out == 2, 'not two'
            @test
            def good(out): print('still ran')
        """
        result = bench.errored(code)
        assert "Failed to pass tests for block block" in result.error["error"]
        assert not result.final
        assert any("not two" in message for message in bench.messages())
        assert bench.messages()[-3:-1] == ["still ran", "1/2 tests passed."]

    def test_any_other_exception_ends_it_at_once(self, bench: Bench) -> None:
        code = """
            @data_loader
            def f(): return 1
            @test
            def bad(out): raise KeyError('boom')
            @test
            def never(out): print('ran on')
        """
        assert bench.errored(code).error["type"] == "KeyError"
        assert "ran on" not in bench.messages()

    def test_outputs_are_stored_before_the_tests_run(self, bench: Bench) -> None:
        bench.errored("@data_loader\ndef f(): return 'x' * 5000\n@test\ndef t(o): assert False")
        assert [path.name for path in (bench.path / "out" / "1").iterdir()] == ["output_0.json"]

    def test_they_can_be_left_out(self, bench: Bench) -> None:
        code = "@data_loader\ndef f(): return 1\n@test\ndef t(o): assert False"
        assert bench.values(code, run_tests=False) == [1]

    def test_without_tests_nothing_is_logged(self, bench: Bench) -> None:
        bench.completed("@data_loader\ndef f(): return 1")
        assert bench.lines() == []


class TestSensors:
    @pytest.fixture(autouse=True)
    def _no_waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(python, "LOOK_SECONDS", 0.0)

    def sensor(self, bench: Bench, body: str, *, inputs: tuple[Input, ...] = ()) -> Completed:
        return bench.completed(textwrap.dedent(body), type="sensor", inputs=inputs)

    def test_it_looks_until_the_answer_is_truthy_and_stores_nothing(self, bench: Bench) -> None:
        result = self.sensor(
            bench,
            """
            looks = []
            @sensor
            def f(**kwargs):
                looks.append(1)
                return 'yes' if len(looks) == 3 else 0
            """,
        )
        assert result.outputs == ()
        waits = [message for message in bench.messages() if "1 minute" in message]
        assert len(waits) == 2

    @pytest.mark.parametrize(
        ("signature", "expected"),
        [
            ("*args, **kwargs", "((1,), True)"),
            ("*args", "((), False)"),
            ("**kwargs", "((), True)"),
            ("", "((), False)"),
            ("df", "((1,), False)"),
            ("df, **kwargs", "((1,), True)"),
        ],
    )
    def test_what_it_receives(self, bench: Bench, signature: str, expected: str) -> None:
        given = "(df,)" if "df" in signature else "args" if "*args" in signature else "()"
        keywords = "bool(kwargs)" if "**" in signature else "False"
        self.sensor(
            bench,
            f"@sensor\ndef f({signature}):\n    print(({given}, {keywords}))\n    return True\n",
            inputs=(bench.upstream(1),),
        )
        assert bench.messages() == [expected]

    def test_an_exception_fails_it(self, bench: Bench) -> None:
        result = bench.errored("@sensor\ndef f(): raise OSError('down')", type="sensor")
        assert result.error["error"] == "down"


class TestCheck:
    def test_good_code_has_no_faults(self) -> None:
        assert PythonLanguage().check("x = 1\n", "a.py") == ()

    @pytest.mark.parametrize("code", ["def f(:\n  pass", "x = '\x00'", "\ud800 = 1"])
    def test_bad_code_has_one_with_its_place(self, code: str) -> None:
        [fault] = PythonLanguage().check(code, "data_loaders/a.py")
        assert fault.startswith("data_loaders/a.py")
