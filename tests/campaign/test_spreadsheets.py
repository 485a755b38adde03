"""Tables as spreadsheets of any country write them, and the ids that they change."""

import csv
import datetime
import io
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skmmal.campaign import LabelingCampaign, read_data, read_labels_file
from skmmal.campaign._mangled import mangled

LABELS = {"s01": "Käse", "s02": "dog", "s03": "a;b,c\td", "ñ4": 'he said "no"'}


@pytest.fixture
def campaign(tmp_path):
    return make(tmp_path, [*LABELS, "s05", "s06"], classes=sorted(set(LABELS.values())))


def make(tmp_path, ids, **options):
    X = {"a": np.random.default_rng(0).normal(size=(len(ids), 3))}
    return LabelingCampaign.create(tmp_path / "c", X, ids=ids, initial="random", n_instances=4, **options)


def table(separator, newline="\n", header=("id", "label"), rows=None):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=newline)
    writer.writerows([header, *(LABELS.items() if rows is None else rows)])
    return text.getvalue()


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1", "mac_roman"]
)
def test_dialects(tmp_path, encoding, separator, newline):
    (tmp_path / "l.csv").write_bytes(table(separator, newline).encode(encoding))
    found = read_labels_file(tmp_path / "l.csv", classes=list(LABELS.values()), ids=list(LABELS))
    assert dict(zip(found["id"], found["label"], strict=True)) == LABELS


def test_a_western_file_in_a_campaign(campaign, tmp_path):
    (tmp_path / "l.csv").write_bytes(table(";", "\r\n").encode("cp1252"))
    campaign.add_labels(tmp_path / "l.csv")
    assert campaign.labels["label"].to_dict() == LABELS


@pytest.mark.parametrize("text", [
    "sep=;\nid;label\ns01;dog\n", '"sep=;"\r\nid;label\r\ns01;dog\r\n', "\ufeffsep=\t\nid\tlabel\ns01\tdog\n",
    "ID,Label\ns01,dog\n", " Id , LABEL \ns01 , dog \n", "\n\nid,label\n\ns01,dog\n,\n  ,  \n\n", "id,label,,\ns01,dog,,\n",
    "label,id\ndog,s01\n", "id;label;score\ns01;dog;0,83\n", 'id,label\n"s01","dog"', "id,label,state\ns01,dog\n",
    "id,note,label\ns01,\"two\nlines\",dog\n",
])  # fmt: skip
def test_headers_blanks_and_empty_rows(campaign, tmp_path, text):
    (tmp_path / "l.csv").write_text(text, encoding="utf-8", newline="")
    found = campaign.add_labels(tmp_path / "l.csv")
    assert found["states"] == {"label": 1}
    assert campaign.labels["label"].to_dict() == {"s01": "dog"}


@pytest.mark.parametrize(("content", "words"), [
    (b"s01,dog\ns02,dog\n", "no column 'id': its first line is 's01,dog', and it should be a header"),
    (b"id,label\ns01,dog,sure\n", "line 2 has 3 fields, the header 2"),
    (b"id,label\n\ns01,dog\ns02,Home, Garden\n", "line 4 has 3 fields, the header 2; a text that holds ',' needs quotes"),
    (b"id,label,ID\ns01,dog,x\n", "the columns 'id' and 'ID' both are 'id'"),
    (b"id,label,label\ns01,dog,x\n", "the column 'label' is there twice"),
    (b'id,label\ns01,"dog\n', "line 2 cannot be read"),
    (b"id,class\ns01,dog\n", "no column 'label'; there are"),
    (b"PK\x03\x04rest", "is an Excel workbook by its content"),
    (b"id,label\ns01,\x00\x00\n", "null characters"),
    ("id,label\ns01,Бег\n".encode("cp1251"), r"is not text in UTF-8 \(first in line 2\).*CSV UTF-8.*cp1251 for Cyrillic"),
    (b"id,label,state\ns01,,maybe\n", "found 'maybe'"),
])  # fmt: skip
def test_refused_with_the_true_reason(campaign, tmp_path, content, words):
    (tmp_path / "l.csv").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        campaign.add_labels(tmp_path / "l.csv")
    assert len(campaign.log) == 0


def test_an_encoding_is_confirmed_or_said(campaign, tmp_path):
    """Cyrillic bytes are letters in Western encodings, too: only what is known tells."""
    path = tmp_path / "l.csv"
    path.write_bytes("id,label\ns01,Бег\n".encode("cp1251"))
    assert campaign.add_labels(path, encoding="cp1251", allow_new_classes=True)["new_classes"] == ["Бег"]
    path.write_bytes("id,label\ns02,Бег\n".encode("cp1251"))
    campaign.add_labels(path)
    assert campaign.labels.loc["s02", "label"] == "Бег"
    path.write_bytes("id,label,note\ns03,dog,größer\n".encode("cp1252"))  # neither an id nor a label
    campaign.add_labels(path)
    with pytest.raises(ValueError, match="'nonsense' is unknown"):
        campaign.add_labels(path, encoding="nonsense")
    with pytest.raises(ValueError, match="is not a CSV file in ascii"):
        campaign.add_labels(path, encoding="ascii")


@settings(max_examples=60, deadline=None)
@given(
    rows=st.dictionaries(
        st.text("ab0ñ-ж ;,\"'\t|", min_size=1, max_size=6).filter(lambda text: text.strip() == text),
        st.text("xyß ;,\"'\t|", min_size=1, max_size=6).filter(lambda text: text.strip() == text),
        min_size=1,
        max_size=6,
    ),
    separator=st.sampled_from(",;\t|"),
    newline=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_every_dialect_gives_the_rows_back(tmp_path_factory, rows, separator, newline, encoding, quoting):
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=newline, quoting=quoting).writerows(
        [("id", "label"), *rows.items()]
    )
    path = tmp_path_factory.mktemp("dialect") / "l.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    found = read_labels_file(path)
    assert dict(zip(found["id"], found["label"], strict=True)) == rows


# --------------------------------------------------------------------------------------------- what Excel changes


@pytest.mark.parametrize(("kept", "changed"), [
    ("007", "7"), ("00", "0"), ("1e5", "1.00E+05"), ("1e5", "1,00E+05"), ("1e5", "100000"), ("2E-3", "0.002"),
    ("1234567890123456", "1.23457E+15"), ("1234567890123456", "1,23457E+15"), ("1234567890123456", "1234567890123450"),
    ("1.10", "1.1"), ("+5", "5"), ("1-2", "02-Jan"), ("1-2", "1-Feb"), ("1/2", "2. Jan"), ("3-4", "Mar 4"),
    ("3-4", "04. Mrz"), ("MARCH1", "01-Mar"), ("SEP2", "2-Sep"), ("1-2", "2026-01-02"), ("1-2", "2026-01-02 00:00:00"),
    ("1-2", "01/02/2026"), ("true", "TRUE"), ("false", "FALSCH"),
])  # fmt: skip
def test_ids_that_excel_changed(tmp_path, kept, changed):
    campaign = make(tmp_path, [kept, "x1", "x2"])
    path = tmp_path / "l.csv"
    path.write_text(table(",", rows=[(changed, "cat"), ("x1", "dog")]), encoding="utf-8")
    with pytest.raises(ValueError, match="a spreadsheet took for numbers or dates") as found:
        campaign.add_labels(path)
    text = str(found.value)
    assert f"{changed!r} for {kept!r}" in text
    assert "Text" in text
    assert "ignore" not in text
    assert len(campaign.log) == 0


def test_ids_that_are_not_changed_ones():
    known = ["007", "1e5", "1-2", "true", "s7", "123456789"]
    assert mangled(["x7", "8", "s8", "2-Mar", "abc", "123457000", "0x7", "Jan", ""], known) == []
    assert mangled(["7"], ["s7", "7a"]) == []
    assert mangled(["05"], ["5"]) == []  # a spreadsheet adds no zeros


def test_a_changed_id_that_is_another_rows(tmp_path):
    """007 was handed out, 7 was not: a label for 7 out of a spreadsheet is not taken for one."""
    campaign = make(tmp_path, ["007", "7", "x1", "x2"])
    for _ in range(9):
        batch = campaign.next_batch(1)
        if batch["id"].iloc[0] in ("007", "7"):
            break
        campaign.add_labels({batch["id"].iloc[0]: "cat"})
    waiting, other = ("007", "7") if batch["id"].iloc[0] == "007" else ("7", "007")
    (tmp_path / "l.csv").write_text(f"id,label\n{other},cat\n")
    if waiting == "007":
        with pytest.raises(ValueError, match="'7' for '007'.*JSON lines"):
            campaign.add_labels(tmp_path / "l.csv")
    (tmp_path / "l.jsonl").write_text(json.dumps({"id": other, "label": "cat"}))
    campaign.add_labels(tmp_path / "l.jsonl")
    (tmp_path / "l.csv").write_text(f"id,label\n{waiting},cat\n")
    campaign.add_labels(tmp_path / "l.csv")
    assert {"007", "7"} <= set(campaign.labels.index)


def test_classes_that_excel_changed(tmp_path):
    campaign = make(tmp_path, ["a", "b"], classes=["true", "007", "1-2"])
    for changed, kept in (("TRUE", "true"), ("7", "007"), ("02-Jan", "1-2")):
        with pytest.raises(ValueError, match=f"'{changed}' looks like '{kept}', changed by a spreadsheet") as found:
            campaign.add_labels({"a": changed})
        assert "allow" not in str(found.value)
    campaign.add_labels({"a": "7", "b": "TRUE"}, map_classes={"7": "007", "TRUE": "true"})
    assert campaign.labels["label"].tolist() == ["007", "true"]
    with pytest.raises(TypeError, match=r"map_classes must be a mapping of an old name to a new one, got \['7'\]"):
        campaign.add_labels({"a": "7"}, map_classes=["7"])
    with pytest.raises(ValueError, match="map_classes: a name is empty"):
        campaign.add_labels({"a": "7"}, map_classes={"7": " "})


def test_numbers_of_pandas(tmp_path):
    campaign = make(tmp_path, ["007", "x1"])
    with pytest.raises(ValueError, match="'7' for '007'.*dtype=str"):
        campaign.add_labels(pd.DataFrame({"id": [7], "label": ["cat"]}))


def test_other_unknown_ids(tmp_path):
    """Leaving labels out is advised where a few ids are unknown, not where the file is another campaign's."""
    campaign = make(tmp_path, ["a", "b", "c"])
    with pytest.raises(ValueError, match="ignore_unknown"):
        campaign.add_labels({"a": "x", "zzz": "y"})
    with pytest.raises(ValueError, match="Not one id is this campaign's") as found:
        campaign.add_labels({"k": "x", "l": "y"})
    assert "ignore" not in str(found.value)
    task = {"data": {"skmmal_id": "k", "skmmal_campaign": "0123456789ab"}, "annotations": [{"id": 1, "result": []}]}
    (tmp_path / "t.json").write_text(json.dumps([{**task, "data": {**task["data"], "skmmal_id": "a"}}, task]))
    with pytest.raises(ValueError, match="tasks of another campaign in this file .its mark is 0123456789ab") as found:
        campaign.add_labels(tmp_path / "t.json")
    assert "ignore" not in str(found.value)
    campaign.add_labels({" a": "x", "b ": "y"})  # blanks around an id do no harm
    assert campaign.labels["label"].to_dict() == {"a": "x", "b": "y"}


# -------------------------------------------------------------------------------------------- twice in one delivery


def test_two_labels_for_one_id(campaign, tmp_path):
    path = tmp_path / "l.csv"
    path.write_text("id,label\n\ns02,dog\ns01,Käse\n\ns02,Käse\n", encoding="utf-8")
    with pytest.raises(ValueError, match="'s02': 'dog' in line 3 and 'Käse' in line 6, and no time"):
        campaign.add_labels(path, annotator="ann")
    frame = pd.DataFrame({"id": ["s01", "s02", "s01"], "label": ["dog", "dog", ""], "state": ["", "", "skip"]})
    with pytest.raises(ValueError, match="'s01': 'dog' in line 1 and 'skip' in line 3"):
        campaign.add_labels(frame, annotator="ann")
    day = frame.assign(state="", label=["dog", "dog", "Käse"], when="2026-01-02")
    with pytest.raises(ValueError, match="says two things"):
        campaign.add_labels(day, annotator="ann")
    assert len(campaign.log) == 0
    # with times, two annotators, or the same word, there is no doubt
    campaign.add_labels(day.assign(when=["2026-01-02", "", "2026-01-03"]), annotator="ann")
    assert campaign.labels.loc["s01", "label"] == "Käse"
    campaign.add_labels(day.assign(annotator=["a", "a", "b"]))
    campaign.add_labels(pd.DataFrame({"id": ["s05"] * 2, "label": ["dog"] * 2}), annotator="ann")
    assert campaign.labels.loc["s05", "n_annotators"] == 1


# ------------------------------------------------------------------------------------------------------ other files


def test_workbooks(campaign, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "read me"
    book.active.append(["what this is"])
    sheet = book.create_sheet("labels")
    for row in [(), ("ID", " Label ", "note", None), ("s01", "dog", None), (), ("s02", "Käse ", 3.0)]:
        sheet.append(row)
    book.save(tmp_path / "l.xlsx")
    campaign.add_labels(tmp_path / "l.xlsx")
    assert campaign.labels["label"].to_dict() == {"s01": "dog", "s02": "Käse"}
    other = book.create_sheet("more")
    other.append(("id", "label"))
    book.save(tmp_path / "l.xlsx")
    with pytest.raises(ValueError, match=r"several sheets, \['labels', 'more'\], have the columns id and label"):
        campaign.add_labels(tmp_path / "l.xlsx")
    (tmp_path / "l.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"no \.xlsx workbook that can be read"):
        campaign.add_labels(tmp_path / "l.xlsx")


def test_ids_in_workbooks(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    campaign = make(tmp_path, ["007", "12", "1-2", "x"])
    book = openpyxl.Workbook()
    for row in [("id", "label"), (7, "cat"), (12, 3), ("x", True)]:
        book.active.append(row)
    book.active["A2"].number_format = "000"  # shown as 007
    book.save(tmp_path / "l.xlsx")
    campaign.add_labels(tmp_path / "l.xlsx")
    assert campaign.labels["label"].to_dict() == {"007": "cat", "12": "3", "x": "TRUE"}
    book.active["A2"] = datetime.datetime(2026, 1, 2)
    book.save(tmp_path / "l.xlsx")
    with pytest.raises(ValueError, match="'2026-01-02' for '1-2'"):
        campaign.add_labels(tmp_path / "l.xlsx")


def test_a_part_of_what_was_read(campaign, tmp_path):
    (tmp_path / "l.csv").write_text("id,label\n\ns01,dog\ns02,dog\n")
    table = read_labels_file(tmp_path / "l.csv")
    campaign.add_labels(table.iloc[1:])
    assert campaign.labels["label"].to_dict() == {"s02": "dog"}
    table.attrs["lines"] = "mine"
    assert campaign.add_labels(table)["new"] == 1


def test_json_and_parquet(campaign, tmp_path):
    rows = [
        {"id": "s01", "label": "dog"},
        {"id": "s02", "label": None},
        {"id": "s03", "label": "Käse", "state": "label"},
    ]
    (tmp_path / "l.json").write_text(json.dumps(rows))
    found = campaign.add_labels(tmp_path / "l.json", annotator="ann")
    assert (found["new"], found["blank"]) == (2, 1)
    (tmp_path / "l.json").write_text(json.dumps({"s05": "dog", "s06": "Käse"}))
    assert campaign.add_labels(tmp_path / "l.json", annotator="ann")["new"] == 2
    pd.DataFrame({"id": ["s02"], "label": pd.Categorical(["dog"])}).to_parquet(tmp_path / "l.parquet")
    assert campaign.add_labels(tmp_path / "l.parquet", annotator="ann")["new"] == 1
    (tmp_path / "l.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="not a Parquet file"):
        campaign.add_labels(tmp_path / "l.parquet")
    (tmp_path / "l.xls").write_bytes(b"\xd0\xcf\x11\xe0")
    with pytest.raises(ValueError, match=r"save it as \.xlsx or as 'CSV UTF-8'"):
        campaign.add_labels(tmp_path / "l.xls")


def test_other_frames(campaign):
    polars = pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    datasets = pytest.importorskip("datasets")
    campaign.add_labels(polars.DataFrame({"id": ["s01"], "label": ["dog"]}))
    campaign.add_labels(pyarrow.table({"id": ["s02"], "label": ["dog"]}))
    kinds = datasets.Features({"id": datasets.Value("string"), "label": datasets.ClassLabel(names=["dog", "Käse"])})
    campaign.add_labels(
        datasets.Dataset.from_dict({"id": ["s03", "s05", "s06"], "label": [1, -1, None]}, features=kinds)
    )
    assert campaign.labels["label"].to_dict() == {"s01": "dog", "s02": "dog", "s03": "Käse"}


def test_huggingface_labels_that_are_none(tmp_path):
    datasets = pytest.importorskip("datasets")
    for number, (values, words) in enumerate(
        [([0, 1, -1], "holds −1 among other numbers"), ([["a"], ["b"], []], "one label")]
    ):
        folder = tmp_path / str(number)
        datasets.Dataset.from_dict({"id": ["a", "b", "c"], "label": values}).save_to_disk(str(folder))
        with pytest.raises(ValueError, match=words):
            read_labels_file(folder)
    datasets.Dataset.from_dict({"id": ["a", "b"], "label": [1, -1]}).save_to_disk(str(tmp_path / "signs"))
    assert read_labels_file(tmp_path / "signs")["label"].tolist() == [1, -1]


# ------------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize(("value", "url"), [
    ("a b&c#d%20.jpg", "https://h/a%20b%26c%23d%2520.jpg"), ("ü/ñ+1.jpg", "https://h/%C3%BC/%C3%B1%2B1.jpg"),
    ("http://o/a b.jpg", "http://o/a b.jpg"), ("HTTPS://o/x", "HTTPS://o/x"), ("s3://b/x y", "s3://b/x y"),
    ("data:image/png;base64,AA==", "data:image/png;base64,AA=="), ("/data/upload/1/a b.jpg", "/data/upload/1/a b.jpg"),
    ("/data/local-files/?d=x/y.jpg", "/data/local-files/?d=x/y.jpg"), ("https://h/x.jpg", "https://h/x.jpg"),
    ("a://b.jpg", "a://b.jpg"), ("C:x.jpg", "https://h/C%3Ax.jpg"), ("", ""), (" ", ""), ("what?.jpg", "https://h/what%3F.jpg"),
])  # fmt: skip
def test_urls(tmp_path, value, url):
    pd.DataFrame({"id": ["a"], "photo": [value], "text": [value]}).to_csv(tmp_path / "items.csv", index=False)
    found = read_data(tmp_path / "items.csv", {"photo": "image", "text": "text"}, prefix="https://h/")
    assert found.loc["a"].tolist() == [url, value]
    local = read_data(tmp_path / "items.csv", {"photo": "image"}, prefix="/data/local-files/?d=")
    assert local.loc["a", "photo"] == url.replace("https://h/", "/data/local-files/?d=") or value.startswith(
        "https://h/"
    )
    plain = read_data(tmp_path / "items.csv", {"photo": "image"})
    assert plain.loc["a", "photo"] == value.strip()
