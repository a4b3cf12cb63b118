"""Read the surname zip; read and write data/raw/.

data/raw/names.csv has the columns name and label, one row per name, as the zip holds them.
data/raw/source.json holds where they come from, and the SHA-256 of names.csv.
"""

import csv
import errno
import hashlib
import io
import json
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TextIO

from stages.shared.errors import InputError
from stages.shared.json_files import write_json

# The official zip has 3 MB and 18 names files, the largest of 33 KB.
MAX_ARCHIVE_BYTES = 2**26
_MAX_MEMBER_BYTES = 2**20
_MAX_TOTAL_BYTES = 2**24
_MAX_LANGUAGES = 256
_MAX_NAMES = 2**20
_LONGEST_NAME, _LONGEST_LABEL = 1_000, 100  # letters, in a table
_LONGEST_LINE = 2**20  # letters
_LANGUAGE_FILE = re.compile(r"[\w(][\w .'()-]{0,49}\.txt")  # a file name on any system
NAMES_FILE, SOURCE_FILE = "names.csv", "source.json"  # in data/raw/
_FETCH_AGAIN = "type `dvc repro --force download_surnames`"
_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,  # of bzip2
    ValueError,
    RuntimeError,  # a password, or an unknown compression
)

# SHA-256 of the 18 files of the official zip.
OFFICIAL_SHA256 = {
    "Arabic.txt": "6f424a8dbe51cbbbabab7a57d38b617210125e4e3991f3c657cb79b8f104bafc",
    "Chinese.txt": "49263ef55a8cb1740e841d65cad8214b2f9b5b869bc534c811746422496fa91e",
    "Czech.txt": "145bbbd6d0816578f03388e92c264d39ef1c60df920b081d371fa5c5cc055a8e",
    "Dutch.txt": "924f32b635170eae561f84538632138fc07d4c8bbd70ba3fb980de1ecc4d2af3",
    "English.txt": "9cca037066d3d5989e24bc01801416162de506b5e28e15b7c092a47905d29bf2",
    "French.txt": "81e65b36c60ed5b89a17422f6edcadbb89546f38ad69e960e64e7ba682012a95",
    "German.txt": "7449cd590b97a733e18d613a4155decd77ec35dc5f8aadd7a82204dce4f051db",
    "Greek.txt": "3555b5186de7f401e6d991b088e9e644ca3099116477818c25ab5793801389e6",
    "Irish.txt": "cf8c7013256252a88d2503127b87282a11f21b2ff6db1bded68834c19a1ec058",
    "Italian.txt": "f88414c27d0606a11a678b4859277828c2565d6cc4d9ee932deef6e94f3b35e4",
    "Japanese.txt": "e0e717e114fec3e7eade4d9dabe0067c475f43147e36a22b47902ee76ad9e67f",
    "Korean.txt": "cd54221ccb362a6cba4c78828838cf3268a0e59744767a37cf6ec4b74036b136",
    "Polish.txt": "45bab898af2f60ed3a728bbf6980e28821011a7caa53227553b5785903a40826",
    "Portuguese.txt": "50a8735f41f4f73757c8ce5b16cb0275cd86b2b214bcbc8c9805f508cb131c53",
    "Russian.txt": "43b3e64ce351f77f1ac9e0cdf7566012d127f4371875fd25208845b5c9d6f7c3",
    "Scottish.txt": "78d0252711d87d948ea86fe34826c51d2d794a8e52d15b5d6f7b6244d45d62dd",
    "Spanish.txt": "1bcb462ed3316756a85781d68232bddae04498fdddd5d9219c53fd1fbdeba7a7",
    "Vietnamese.txt": "f3f9e4164ab47601178a6e45b216464a64122f49d05541f24bf18a757253281d",
}

LabelledNames = dict[str, list[str]]  # label -> names


@dataclass(frozen=True)
class _Source:
    """Where the raw names come from: source.json."""

    data: str  # official, sample, or custom with the name of the file
    archive: str  # name of the file or folder
    sha256: str  # of names.csv


def parse_names(content: bytes, source: str) -> tuple[LabelledNames, list[str]]:
    """Return the names of a zip or a table, and the files that differ from the official zip.

    `source` is the name of the file; content that is no zip, by name or first bytes, is a table.

    Raises:
        InputError: if the file is damaged, has no names, or is too large.
    """
    if len(content) > MAX_ARCHIVE_BYTES:
        raise InputError(f"{source} is larger than {MAX_ARCHIVE_BYTES} bytes: rejected")
    path = PurePosixPath(source)
    is_named = path.suffix.lower() in (".csv", ".tsv", ".txt")
    if is_named or not (content.startswith(b"PK") or path.suffix.lower() == ".zip"):
        return _read_table(content, source), [path.name]
    files = read_archive(content, source)
    return list_names(files), find_differences(files)


def read_archive(archive: bytes, source: str) -> dict[str, bytes]:
    """Read the members `…/names/<Language>.txt` of a zip: file name -> content.

    Raises:
        InputError: if the archive is damaged, has no names, or is too large.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            names = _read_members(opened, source)
    except _DAMAGES as error:
        raise InputError(
            f"{source} is not a complete zip file ({len(archive)} bytes; {error}): fetch it again"
        ) from None
    if not names:
        raise InputError(
            f"{source} holds no names/<Language>.txt: is it the surname zip? Save a spreadsheet as "
            "CSV instead"
        )
    return dict(sorted(names.items()))


def _read_table(table: bytes, source: str) -> LabelledNames:
    """Read the columns name and label of a table with the separator `,`, `;`, tab or `|`."""
    try:
        text = table.decode("utf-8-sig")
        reader, columns, _ = open_table(io.StringIO(text, newline=""), source, "name", "label")
        rows = list(islice(filter(None, reader), _MAX_NAMES + 1))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{source} is not a CSV file in UTF-8 ({error}): save it as one") from None
    _check_number(len(rows), source)
    names: LabelledNames = {}
    for number, row in enumerate(rows, start=1):
        name, label = (row[column] if column < len(row) else "" for column in columns)
        shown = " ".join(label.split())
        where = f"{source}, row {number} below the header"
        if not name.strip() or not shown:
            raise InputError(
                f"{where}: name {name[:60]!r} and label {label[:60]!r}: fill in both, or delete it"
            )
        if len(name) > _LONGEST_NAME or len(shown) > _LONGEST_LABEL or not shown.isprintable():
            raise InputError(
                f"{where}: name {name[:60]!r} and label {label[:60]!r}: a name has up to "
                f"{_LONGEST_NAME:,} letters, a label {_LONGEST_LABEL}, all that can be printed: "
                "correct it"
            )
        names.setdefault(label, []).append(name)
    num_labels = len({" ".join(label.split()) for label in names})
    if not 0 < num_labels <= _MAX_LANGUAGES:
        raise InputError(f"{source} has {num_labels} labels: give it 1 to {_MAX_LANGUAGES}")
    return dict(sorted(names.items()))


def open_table(
    file: TextIO, source: str, *wanted: str
) -> tuple[Iterator[list[str]], list[int], list[str]]:
    """Return the rows of a table below its header, the indices of columns, and the header.

    Args:
        file: the table, opened with `newline=""`.
        source: name of the file, for messages.
        wanted: names of the columns.

    Raises:
        InputError: if the table has no such columns with any separator.
    """
    found: list[str] = []
    for separator in ",;\t|":
        file.seek(0)
        reader = csv.reader(_read_lines(file, source), delimiter=separator)
        header = [column.strip() for column in next(reader, [])]
        if {*wanted} <= {*header}:
            return reader, [header.index(column) for column in wanted], header
        found = max(found, header, key=len)
    shown = ", ".join(repr(column[:30]) for column in found[:5])
    raise InputError(
        f"{source} has {f'the columns {shown}' if shown else 'no columns'}: name its columns "
        f"{' and '.join(wanted)} in the first line"
    )


def _read_lines(file: TextIO, source: str) -> Iterator[str]:
    """Yield the lines of a file, and stop at an endless line."""
    while line := file.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise InputError(
                f"{source} has a line of more than {_LONGEST_LINE:,} letters: rejected"
            )
        yield line


def _check_number(num_names: int, source: str) -> None:
    if num_names > _MAX_NAMES:
        raise InputError(f"{source} has more than {_MAX_NAMES:,} names: give a part of them")


def _read_members(opened: zipfile.ZipFile, source: str) -> dict[str, bytes]:
    names: dict[str, bytes] = {}
    num_bytes = num_names = 0
    for member in opened.infolist():
        path = PurePosixPath(member.filename)
        if path.parent.name != "names" or path.suffix != ".txt":
            continue
        if not _LANGUAGE_FILE.fullmatch(path.name):
            raise InputError(
                f"{source}: {path.name[:60]!r} is not a <Language>.txt: rename that file"
            )
        if path.name in names:
            raise InputError(f"{source} holds {path.name} twice: keep one of them")
        with opened.open(member) as file:
            content = file.read(_MAX_MEMBER_BYTES + 1)
        if len(content) > _MAX_MEMBER_BYTES:
            raise InputError(
                f"{member.filename} is larger than {_MAX_MEMBER_BYTES} bytes: rejected"
            )
        names[path.name] = content
        num_bytes += len(content)
        num_names += content.count(b"\n")
        _check_number(num_names, source)
        if num_bytes > _MAX_TOTAL_BYTES or len(names) > _MAX_LANGUAGES:
            raise InputError(
                f"{source} holds more than {_MAX_LANGUAGES} languages or {_MAX_TOTAL_BYTES} bytes "
                "of names: rejected"
            )
    return names


def read_limited(path: Path) -> bytes:
    """Read a file, up to one byte more than the largest archive.

    Raises:
        OSError: if the file cannot be read, or is not a regular file: a pipe would never end.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "no regular file")
    with path.open("rb") as file:
        return file.read(MAX_ARCHIVE_BYTES + 1)


def find_differences(names: dict[str, bytes]) -> list[str]:
    """List the files that are missing, extra or different from the official zip."""
    digests = {file: hashlib.sha256(content).hexdigest() for file, content in names.items()}
    files = sorted(OFFICIAL_SHA256.keys() | names.keys())
    return [file for file in files if digests.get(file) != OFFICIAL_SHA256.get(file)]


def list_names(files: dict[str, bytes]) -> LabelledNames:
    """Return the names of each language, from files `<Language>.txt` with one name per line.

    Blanks at the ends of lines are kept, as in the walk-through.

    Raises:
        InputError: if a file is not UTF-8, or empty.
    """
    names = {}
    for file, content in files.items():
        try:
            text = content.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{file} is not UTF-8 (byte {error.start}): save it as UTF-8"
            ) from None
        if not text:
            raise InputError(f"{file} is empty: write one name per line, or remove the file")
        lines = re.split("\r\n?|\n", text)
        names[file.removesuffix(".txt")] = [line for line in lines if line.strip()]
    return names


def read_names_folder(folder: Path) -> dict[str, bytes]:
    """Read the files `<Language>.txt` of a folder, sorted: file name -> content."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.txt"))}


def format_names(names: LabelledNames) -> bytes:
    """Format the content of names.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "label"])
    for label, group in names.items():
        writer.writerows([name, label] for name in group)
    return text.getvalue().encode()


def write_raw(folder: Path, names: LabelledNames, data: str, archive: str) -> None:
    """Replace the raw names in data/raw/.

    An interruption leaves the old names, the new ones, or a pair of files that `read_raw` rejects.
    `data` is `official`, `sample`, or `custom` with the name of the file; `archive` is the name of
    the file or folder that the names come from.
    """
    table = format_names(names)
    source = _Source(data, archive, hashlib.sha256(table).hexdigest())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAMES_FILE}.part").write_bytes(table)
    write_json(folder / f"{SOURCE_FILE}.part", asdict(source))
    for name in (NAMES_FILE, SOURCE_FILE):
        (folder / f"{name}.part").replace(folder / name)


def read_raw(folder: Path) -> tuple[LabelledNames, _Source]:
    """Read the raw names and their source.

    Raises:
        InputError: if the files are missing or damaged.
    """
    try:
        contents = {name: (folder / name).read_bytes() for name in (NAMES_FILE, SOURCE_FILE)}
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}: {_FETCH_AGAIN}") from None
    return parse_raw(contents, folder)


def parse_raw(contents: dict[str, bytes], folder: Path) -> tuple[LabelledNames, _Source]:
    """Parse the content of both files, as `read_raw` does."""
    try:
        source = _Source(**json.loads(contents[SOURCE_FILE]))
    except (ValueError, TypeError):
        raise InputError(f"{folder}/{SOURCE_FILE} is damaged: {_FETCH_AGAIN}") from None
    if hashlib.sha256(contents[NAMES_FILE]).hexdigest() != source.sha256:
        raise InputError(
            f"{folder}/{NAMES_FILE} is not the file that {SOURCE_FILE} names: {_FETCH_AGAIN}"
        )
    names: LabelledNames = {}
    table = contents[NAMES_FILE].decode("utf-8")
    for row in csv.DictReader(io.StringIO(table, newline="")):
        names.setdefault(row["label"], []).append(row["name"])
    return names, source
