"""A member that changes its group while the index settles is found once, with all that it offers."""

import pytest

from services.matcher.index import Analyser, OfferIndex

YOUNG = 16


@pytest.mark.parametrize("others", range(YOUNG))
def test_a_member_that_changes_its_group_is_found_once(others: int) -> None:
    index = OfferIndex(Analyser(), young=YOUNG)
    for number in range(2 * YOUNG):
        index.put(f"own {number}", "m", f"étalonnage de tensiomètres {number}")
    for number in range(others):  # so that a merge begins at each place among the member's documents
        index.put(f"other {number}", "n", f"teinture {number}")
    index.group("m", "north")
    for number in range(2 * YOUNG):  # until that merge has ended and its base is searched
        index.put(f"more {number}", "n", f"coton {number}")
        request = index.request("tensiomètres")
        [match] = index.search(request, 10)
        assert match == index.score(request, "m")
        assert index.search(request, 10, None, lambda group: group is None) == []
