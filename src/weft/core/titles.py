"""Names for what nobody named: two pleasant words, such as `late forest`."""

from __future__ import annotations

_FIRST_WORDS = (
    "amber ample autumn balmy bold breezy bright brisk broad calm candid clear clever "
    "coastal cosy crimson crisp curious dappled daring deep distant eager early easy "
    "emerald evening fair fleet fond fresh frosty gentle gilded glad glassy golden graceful "
    "grand hardy hazel hidden high honest humble icy indigo ivory jolly keen kind late "
    "lively long lucid lucky lunar mellow merry misty mossy narrow nimble noble northern "
    "olive open patient pearly placid polished proud quick quiet rapid rosy rustic sandy "
    "scarlet serene shady shining silent silver simple slow smooth snowy solar southern "
    "spry stately steady still subtle summer sunny swift tall tender tidy tranquil upland "
    "velvet violet vivid warm wandering western wild windy winter wise woven young "
)

_SECOND_WORDS = (
    "acorn alder anchor apple arbor aspen badger bay beacon bear birch blossom breeze "
    "bridge brook canyon cedar cliff clover cloud comet coral cove crane creek crystal "
    "current dawn delta dew dune eagle elm ember falcon fern field finch fjord forest "
    "fountain fox garden glacier glade glen grove harbor hare haven hawk heath heron hill "
    "horizon island jasper juniper kestrel lagoon lake lantern lark leaf lichen lily linden "
    "lynx maple marsh meadow mesa moon moss mountain oak oasis ocean orchard otter owl "
    "pebble pine plain pond poplar prairie quartz raven reef ridge river robin sail sea "
    "shore sky slope snowflake sparrow spring spruce star stone stream summit sunrise "
    "swallow thicket thistle tide trail tulip valley wave willow wind wood wren "
)

_FIRST, _SECOND = _FIRST_WORDS.split(), _SECOND_WORDS.split()

COUNT = len(_FIRST) * len(_SECOND)
"""How many names there are."""


def two_words(a: int, b: int) -> str:
    """Return the name of two numbers; any will do, each picks a word by its remainder."""
    return f"{_FIRST[a % len(_FIRST)]} {_SECOND[b % len(_SECOND)]}"
