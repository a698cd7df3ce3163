"""The table of searches: every `Search` class in the folder `searches`. Imports no torch."""

from transformer.sweep import searches
from transformer.sweep.plan import Plan
from transformer.sweep.searches.base import Search
from transformer.system.registry import classes_in

SEARCHES: dict[str, type[Search]] = {kind.name: kind for kind in classes_in(searches, Search)}


def search_of(plan: Plan) -> Search:
    return SEARCHES[plan.search](plan)
