"""Rows out of files: CSV with all its traps, blank-separated text, NDJSON, Parquet, in whatever encoding."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siyu.importer.mapping import File
from siyu.importer.reading import BadRow, Row, open_rows
from siyu.importer.survey import UnreadableFile, survey


def rows_of(path: Path, file: File | None = None) -> tuple[list[str] | None, list[Row], list[BadRow]]:
    file = file or File()
    source = open_rows(path, survey(path, file.encoding, file.format), file)
    found = list(source.rows)
    return (
        source.columns,
        [row for row in found if isinstance(row, Row)],
        [row for row in found if isinstance(row, BadRow)],
    )


def written(tmp_path: Path, content: bytes, name: str = "file.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_quoted_line_breaks_commas_and_doubled_quotes(tmp_path: Path) -> None:
    path = written(tmp_path, b'id,text\r\n1,"a, ""b""\r\nsecond line"\r\n2,plain\r\n')
    columns, rows, bad = rows_of(path)
    assert columns == ["id", "text"]
    assert [row.values for row in rows] == [["1", 'a, "b"\r\nsecond line'], ["2", "plain"]]
    assert [row.line for row in rows] == [2, 4]
    assert bad == []


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, b"\xef\xbb\xbfid\r\n1\r\n"))[0] == ["id"]
    assert rows_of(written(tmp_path, "编号\n1\n".encode("utf-16")))[0] == ["编号"]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "gbk", "utf-8-sig", "utf-16"])
def test_chinese_is_read_in_the_encoding_it_was_written_in(tmp_path: Path, encoding: str) -> None:
    text = "姓名,城市\n" + "".join(f"王小明{n},广州天河\n" for n in range(50))
    _, rows, bad = rows_of(written(tmp_path, text.encode(encoding)))
    assert rows[7].values == ["王小明7", "广州天河"]
    assert bad == []


def test_chinese_far_behind_a_megabyte_of_ascii_is_still_recognised(tmp_path: Path) -> None:
    text = "id,city\n" + "1,Guangzhou\n" * 150_000 + "2,广州\n"
    _, rows, _ = rows_of(written(tmp_path, text.encode("gb18030")))
    assert rows[-1].values == ["2", "广州"]


def test_one_broken_row_in_a_utf8_file_is_one_bad_row(tmp_path: Path) -> None:
    good = "3,广州市天河区体育西路\n".encode()
    _, rows, bad = rows_of(written(tmp_path, b"id,city\n" + good * 20 + b"1,\xff\xfe\n" + good))
    assert len(rows) == 21
    assert [(row.line, row.reason) for row in bad] == [(22, "bytes that are no text in the file's encoding")]


def test_a_stray_quote_costs_one_row_and_not_the_rest_of_the_file(tmp_path: Path) -> None:
    lines = ["id,text", *(f"{n},ok" for n in range(3)), '3,"never closed', *(f"{n},ok" for n in range(4, 2_000))]
    _, rows, bad = rows_of(written(tmp_path, "\n".join(lines).encode()))
    assert [row.values[0] for row in rows] == [str(n) for n in range(2_000) if n != 3]
    assert [row.line for row in bad] == [5]


def test_rows_of_another_width_are_bad_and_counted_by_line(tmp_path: Path) -> None:
    _, rows, bad = rows_of(written(tmp_path, b"a,b\n1,2\n1\n1,2,3\n\n5,6\n"))
    assert [row.values for row in rows] == [["1", "2"], ["5", "6"]]
    assert [(row.line, row.reason) for row in bad] == [
        (3, "1 fields where the columns are 2"),
        (4, "3 fields where the columns are 2"),
    ]


def test_blank_separated_without_header(tmp_path: Path) -> None:
    path = written(tmp_path, b" 00004 0001 19970101  2   29.33\r\n 00004 0001 19970118  2   29.73\r\n", "x.txt")
    file = File(delimiter="blank", header=False, columns=["a", "b", "c", "d", "e"])
    columns, rows, _ = rows_of(path, file)
    assert columns == ["a", "b", "c", "d", "e"]
    assert rows[1].values == ["00004", "0001", "19970118", "2", "29.73"]
    assert [row.line for row in rows] == [1, 2]


@pytest.mark.parametrize(("mark", "encoding"), [("\t", "utf-16"), (";", "utf-8"), (",", "gbk")])
def test_the_first_line_shows_what_parts_the_fields(tmp_path: Path, mark: str, encoding: str) -> None:
    """Excel's "Unicode text" is UTF-16 with tabs."""
    columns, rows, bad = rows_of(written(tmp_path, f"城市{mark}b\r\n广州{mark}1\r\n".encode(encoding), "x.txt"))
    assert (columns, [row.values for row in rows], bad) == (["城市", "b"], [["广州", "1"]], [])


def test_ndjson_and_gzip_are_recognised_by_content(tmp_path: Path) -> None:
    body = b'{"a": 1}\n\nnot json\n[1]\n{"a": {"b": "\xe8\x8c\xb6"}}\n'
    columns, rows, bad = rows_of(written(tmp_path, gzip.compress(body), "export"))
    assert columns is None
    assert [row.values for row in rows] == [{"a": 1}, {"a": {"b": "茶"}}]
    assert [row.line for row in bad] == [3, 4]


@pytest.mark.parametrize("packed", [False, True])
def test_parquet_keeps_types(tmp_path: Path, packed: bool) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": [1, 2], "list": [["a"], []], "none": pa.array([None, "x"])}), sink)
    path = written(tmp_path, gzip.compress(sink.getvalue()) if packed else sink.getvalue(), "data")
    columns, rows, _ = rows_of(path)
    assert columns == ["id", "list", "none"]
    assert [row.values for row in rows] == [[1, ["a"], None], [2, [], "x"]]


def test_files_that_cannot_be_read_are_refused_with_a_reason(tmp_path: Path) -> None:
    cut_off = gzip.compress(b"a,b\n" + bytes(range(256)) * 400)[:-200]
    with pytest.raises(UnreadableFile, match="cannot be read"):
        rows_of(written(tmp_path, cut_off, "x.csv.gz"))
    with pytest.raises(UnreadableFile, match="more than once"):
        rows_of(written(tmp_path, b"a,b,a\n1,2,3\n"))
    with pytest.raises(UnreadableFile, match="no text encoding"):
        rows_of(written(tmp_path, b"a\n1\n"), File(encoding="klingon"))
    with pytest.raises(UnreadableFile, match="not Parquet"):
        rows_of(written(tmp_path, b"PAR1 and nothing else"))


CELL = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\r\n\t,\"'"), max_size=12)


@given(st.lists(st.tuples(CELL, CELL, CELL), max_size=30), st.sampled_from(["\n", "\r\n"]))
def test_what_a_csv_writer_wrote_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, ...]], end: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("a", "b", "c"), *table])
    path = tmp_path_factory.mktemp("csv") / "file.csv"
    path.write_bytes(text.getvalue().encode())
    _, rows, bad = rows_of(path, File(encoding="utf-8"))
    assert [tuple(row.values) for row in rows] == table
    assert bad == []
