"""The tree of RFC 6962: the published vectors, and every proof of every small tree against a plain definition."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.trust.chain import START, link
from siyu.trust.merkle import (
    EMPTY_ROOT,
    Frontier,
    Range,
    Subtree,
    consistency_ranges,
    hashes_of,
    inclusion_ranges,
    is_consistent,
    leaf_hash,
    root_by_path,
    root_of,
    subtrees,
)

# The leaves and roots that Certificate Transparency's reference implementations are tested with.
LEAVES = [
    bytes.fromhex(one)
    for one in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): INCLUSION[0, 8],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
SIZE = 200
HASHES = [leaf_hash(number.to_bytes(2, "big")) for number in range(SIZE)]


def plain_root(leaves: list[bytes]) -> bytes:
    """MTH as RFC 6962 section 2.1 defines it, of leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return sha256(b"\x01" + plain_root(leaves[:half]) + plain_root(leaves[half:])).digest()


def of(leaves: list[bytes]) -> dict[Subtree, bytes]:
    """Every complete subtree, by the plain definition."""
    found = {Subtree(0, place): leaf for place, leaf in enumerate(leaves)}
    height, count = 1, len(leaves) // 2
    while count:
        for place in range(count):
            pair = found[Subtree(height - 1, 2 * place)] + found[Subtree(height - 1, 2 * place + 1)]
            found[Subtree(height, place)] = sha256(b"\x01" + pair).digest()
        height, count = height + 1, count // 2
    return found


NODES = of(HASHES)
PLAIN = [plain_root(HASHES[:size]) for size in range(SIZE + 1)]


def test_published_roots_and_paths() -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES]
    nodes = of(hashes)
    assert [root_of(hashes[:size]).hex() for size in range(9)] == ROOTS
    for (index, size), path in INCLUSION.items():
        assert [one.hex() for one in hashes_of(inclusion_ranges(index, size), nodes.__getitem__)] == path
        assert root_by_path(hashes[index], index, size, [bytes.fromhex(one) for one in path]).hex() == ROOTS[size]
    for (old, size), path in CONSISTENCY.items():
        assert [one.hex() for one in hashes_of(consistency_ranges(old, size), nodes.__getitem__)] == path
        roots = bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[size])
        assert is_consistent(old, roots[0], size, roots[1], [bytes.fromhex(one) for one in path])


def test_every_leaf_of_every_tree_is_proved_and_no_other_is() -> None:
    for size in range(1, SIZE + 1):
        for index in range(size):
            path = hashes_of(inclusion_ranges(index, size), NODES.__getitem__)
            assert root_by_path(HASHES[index], index, size, path) == PLAIN[size]
            other = (index + 1) % SIZE
            assert root_by_path(HASHES[other], index, size, path) != PLAIN[size]
            if path:
                with pytest.raises(ValueError, match="short"):
                    root_by_path(HASHES[index], index, size, path[:-1])
            with pytest.raises(ValueError, match="long"):
                root_by_path(HASHES[index], index, size, [*path, EMPTY_ROOT])


def test_every_pair_of_trees_is_consistent_and_no_changed_one_is() -> None:
    for size in range(SIZE + 1):
        for old in range(size + 1):
            path = hashes_of(consistency_ranges(old, size), NODES.__getitem__)
            assert is_consistent(old, PLAIN[old], size, PLAIN[size], path)
            if old:
                assert not is_consistent(old, EMPTY_ROOT, size, PLAIN[size], path)
            if 0 < old < size:
                assert not is_consistent(old, PLAIN[old], size, PLAIN[size - 1], path)
                assert not is_consistent(old, PLAIN[old], size, PLAIN[size], path[:-1])
                assert not is_consistent(old, PLAIN[old], size, PLAIN[size], [*path, EMPTY_ROOT])


@given(st.integers(1, SIZE), st.data())
def test_a_changed_path_does_not_lead_to_the_root(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path = hashes_of(inclusion_ranges(index, size), NODES.__getitem__)
    if not path:
        return
    place, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
    path[place] = (int.from_bytes(path[place], "big") ^ 1 << bit).to_bytes(32, "big")
    assert root_by_path(HASHES[index], index, size, path) != PLAIN[size]


def test_a_tree_grows_from_its_right_edge_and_completes_its_tiles() -> None:
    leaves = [leaf_hash(number.to_bytes(4, "big")) for number in range(66_000)]
    whole, tiles = Frontier(), []
    for leaf in leaves:
        tiles += whole.append(leaf)
    nodes = of(leaves)
    for size in (0, 1, 255, 256, 257, 65_535, 65_536, 65_999):
        again = Frontier(size, [nodes[one] for one in subtrees(Range(0, size))])
        for leaf in leaves[size:]:
            again.append(leaf)
        assert again.root() == whole.root()
    assert {(one.level, one.place): one.hash for one in tiles} == {
        (height // 8, place): value for (height, place), value in nodes.items() if height in (8, 16)
    }


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0)])
def test_what_is_not_in_the_tree_has_no_path(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_ranges(index, size)
    with pytest.raises(ValueError, match="no leaf"):
        root_by_path(EMPTY_ROOT, index, size, [])


def test_a_tree_does_not_continue_a_larger_one() -> None:
    with pytest.raises(ValueError, match="does not continue"):
        consistency_ranges(6, 5)
    assert not is_consistent(6, PLAIN[6], 5, PLAIN[5], [])


def test_a_link_stands_on_all_before_it() -> None:
    first = link(START, HASHES[0])
    assert first == sha256(bytes(32) + HASHES[0]).digest()
    assert link(first, HASHES[1]) == sha256(first + HASHES[1]).digest()
