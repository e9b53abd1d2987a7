import pandas as pd

if "transformer" not in globals():
    from mage_ai.data_preparation.decorators import transformer


@transformer
def add_age_groups(passengers: pd.DataFrame, *args, **kwargs) -> pd.DataFrame:
    """Sort the passengers into age groups, and show who survived."""
    groups = pd.cut(
        passengers["age"],
        bins=[0, 13, 20, 60, 120],
        labels=["child", "teenager", "adult", "senior"],
        right=False,
    )
    passengers = passengers.assign(
        survived=passengers["survived"] == "yes",
        age_group=groups.astype(str),
    )
    survival = passengers.pivot_table(
        index="passenger_class", columns="age_group", values="survived", aggfunc="mean"
    )
    print("Survived, in percent:")
    print((survival * 100).round().to_string())
    return passengers
