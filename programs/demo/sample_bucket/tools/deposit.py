"""The deposit that the counter of Harbour Lane Bicycles asks for."""

from dataclasses import dataclass

DEPOSIT_EUR = {"city": 50, "e-bike": 150, "cargo": 200, "tandem": 100}
GROUP_FROM = 6
GROUP_REBATE_PERCENT = 25


@dataclass(frozen=True)
class Rental:
    """So many bikes of one kind, for one guest."""

    kind: str
    bikes: int
    regular_guest: bool = False


def deposit(rental: Rental) -> int:
    """The deposit in whole euros.

    Regular guests, that is those with five rentals in twelve months, leave none. A group of six bikes or more leaves
    a quarter less. An unknown kind of bike is a KeyError, so that a new one is not lent out for nothing by mistake.
    """
    total = DEPOSIT_EUR[rental.kind] * rental.bikes
    if rental.regular_guest:
        return 0
    if rental.bikes >= GROUP_FROM:
        total -= total * GROUP_REBATE_PERCENT // 100
    return total


if __name__ == "__main__":
    print(deposit(Rental("cargo", 2)))
