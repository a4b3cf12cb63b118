"""Fetch the surnames from the network, a copy, or the sample in git -> data/raw/.

Run by DVC as `python stages/run.py surnames.download SAMPLE OUT`. The environment variable
SURNAMES_ZIP names a copy to read instead of the network.
"""

import hashlib
import json
import os
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import requests
from pydantic import Field
from tqdm import tqdm

from stages.shared.command import run_as_command
from stages.shared.errors import InputError, show_address
from stages.shared.params import Params, Seconds, read_params
from stages.surnames.archive import (
    MAX_ARCHIVE_BYTES,
    NAMES_FILE,
    SOURCE_FILE,
    LabelledNames,
    list_names,
    parse_names,
    parse_raw,
    read_limited,
    read_names_folder,
    read_raw,
    write_raw,
)

_Collected = tuple[LabelledNames, str, str]  # names, data and archive, as `write_raw` takes them

_WHAT_TO_TYPE = """\
    dvc repro --force --single-item download_surnames && make repro
  or, with a copy of the zip: SURNAMES_ZIP=/path/to/data.zip make repro"""


class DownloadParams(Params):
    """Section `download_surnames` of params.yaml."""

    addresses: list[str]  # https:// or file:// addresses or paths, tried in order
    archive: Literal["official", "any"]  # any: another archive is wanted, nothing is compared
    connect_seconds: Seconds = Field(gt=0)  # longest wait for a connection
    read_seconds: Seconds = Field(gt=0)  # longest silence during a download
    total_seconds: Seconds = Field(gt=0)  # longest download
    attempts: int = Field(gt=0, le=10)  # per address
    backoff_seconds: Seconds  # wait after the first failure; doubles each time
    sample_fallback: bool  # take the sample in git when no address can be reached


class _UnreachableError(Exception):
    """An address cannot be read, so the next one is tried."""


def _collect_names(params: DownloadParams, earlier: Path, sample: Path) -> _Collected:
    """Read the names from SURNAMES_ZIP, an earlier run, the network, DVC's cache, or the sample.

    `earlier` is the folder of an earlier run: the official names are not fetched twice. `sample` is
    the folder to fall back to.
    """
    copy = os.environ.get("SURNAMES_ZIP")
    if copy:
        try:
            content = read_limited(Path(copy))
        except OSError as error:
            raise InputError(
                f"SURNAMES_ZIP={copy}: {error.strerror}: name a zip or CSV file"
            ) from None
        return _open_archive(content, copy, params)
    if params.archive == "official":
        with suppress(InputError):  # not there, or not as it was written
            names, source = read_raw(earlier)
            if source.data == "official":
                return names, source.data, source.archive
    try:
        archive, address = _fetch_archive(params)
    except _UnreachableError as error:
        recorded = _read_recorded(earlier, params)
        if recorded:
            print(f"no address answered ({error}): taken from DVC's cache", file=sys.stderr)
            return recorded
        if not params.sample_fallback:
            raise InputError(
                f"no address of the surname zip answered ({error}), and "
                "download_surnames.sample_fallback in params.yaml forbids the sample. Type\n"
                f"{_WHAT_TO_TYPE}"
            ) from None
        warning = (
            f"no address of the surname zip answered ({error}).\n"
            "the small sample in data/sample is used; its scores are not those of the\n"
            f"official data. With network access, type\n{_WHAT_TO_TYPE}"
        )
        print(textwrap.indent(warning, "WARNING: "), file=sys.stderr)
        return list_names(read_names_folder(sample)), "sample", sample.name
    return _open_archive(archive, address, params)


def _read_recorded(out: Path, params: DownloadParams) -> _Collected | None:
    """Read the names in dvc.lock from DVC's cache, if they are undamaged and params accept them.

    The sample is never taken from the cache.
    """
    if not Path("dvc.lock").exists():
        return None
    # `dvc get` and `dvc fetch` prefer files of the workspace, `dvc checkout` waits for this stage
    listing = _run_dvc("list", ".", str(out), "--dvc-only", "--json", "--show-hash")
    cache = Path(_run_dvc("cache", "dir").strip(), "files/md5")
    files = {}
    for entry in json.loads(listing or "[]"):
        md5 = entry["md5"]
        if md5 is None:  # dvc.lock has other stages, but not this one yet
            return None
        path = cache / md5[:2] / md5[2:]
        content = path.read_bytes() if path.exists() else b""
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            return None
        files[entry["path"]] = content
    if not {NAMES_FILE, SOURCE_FILE} <= files.keys():
        return None
    try:
        names, source = parse_raw(files, out)
    except InputError:
        return None
    if source.data == "official" or (source.data != "sample" and params.archive == "any"):
        return names, source.data, source.archive
    return None


def _run_dvc(*arguments: str) -> str:
    command = [sys.executable, "-P", "-m", "dvc", *arguments]
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout


def _open_archive(archive: bytes, source: str, params: DownloadParams) -> _Collected:
    """Read the names of a zip or a table, and find out if they are `official` or `custom`."""
    file_name = Path(urlsplit(source).path).name
    if source.startswith(("https://", "http://")):
        source = file_name  # for messages: an address may hold a token
    names, differences = parse_names(archive, source)
    if not differences:
        return names, "official", file_name
    if params.archive == "official":
        raise InputError(
            f"{source} is not the official archive: {', '.join(differences)} differ or are "
            "missing: get the official zip, or set download_surnames.archive: any in params.yaml"
        )
    return names, f"custom ({file_name})", file_name


def _fetch_archive(params: DownloadParams) -> tuple[bytes, str]:
    """Return the content of the first address that answers, and this address."""
    failures = []
    for address in params.addresses:
        try:
            if address.startswith(("https://", "http://")):
                return _download_with_retries(address, params), address
            return read_limited(Path(address.removeprefix("file://"))), address
        except (_UnreachableError, OSError, ValueError) as error:  # ValueError: a malformed address
            failures.append(f"{show_address(address)}: {error}")
    raise _UnreachableError("; ".join(failures) or "download_surnames.addresses is empty")


def _download_with_retries(address: str, params: DownloadParams) -> bytes:
    """Download an address, waiting longer after each failure."""
    for attempt in range(params.attempts):
        try:
            return _download(address, params)
        except requests.RequestException as error:
            failure = _UnreachableError(type(error).__name__)  # its text can fill a page
        except _UnreachableError as error:
            failure = error
        if attempt + 1 < params.attempts:
            time.sleep(params.backoff_seconds * 2**attempt)
    raise failure


def _download(address: str, params: DownloadParams) -> bytes:
    """Download an address completely, or raise an error."""
    deadline = time.monotonic() + params.total_seconds
    timeout = (params.connect_seconds, params.read_seconds)
    content = bytearray()
    with requests.get(address, stream=True, timeout=timeout) as response:
        response.raise_for_status()
        size = int(response.headers.get("content-length", 0))
        with tqdm(total=size, unit="B", unit_scale=True, desc="surname zip", disable=None) as bar:
            for chunk in response.iter_content(2**16):
                content += chunk
                bar.update(len(chunk))
                if len(content) > MAX_ARCHIVE_BYTES:
                    raise _UnreachableError(f"larger than {MAX_ARCHIVE_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise _UnreachableError(f"not complete after {params.total_seconds:g} s")
    return bytes(content)


def main(sample: str, out: str) -> None:
    """Replace the raw names."""
    params = read_params("download_surnames", DownloadParams)
    names, data, archive = _collect_names(params, Path(out), Path(sample))
    write_raw(Path(out), names, data, archive)
    print(f"{sum(map(len, names.values())):,} names, {data} data -> {out}")


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
