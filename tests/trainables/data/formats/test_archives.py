"""Archives of small files: what threads read at once is what is in the file."""

import zipfile
from concurrent.futures import ThreadPoolExecutor

from trainables.data.formats.archives import open_archive

FIELD = b"\xfe\xca\x04\x00more"  # an extra field, over which `zipfile` skips relative to where the file stands


def test_threads_read_what_a_zip_file_holds(tmp_path):
    files = {f"folder/{number}": bytes([number % 256]) * (500 + number) for number in range(400)}
    with zipfile.ZipFile(tmp_path / "some.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.extra, info.compress_type = FIELD, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    archive = open_archive(tmp_path / "some.zip")
    with ThreadPoolExecutor(8) as pool:
        found = dict(zip(archive.names, pool.map(archive.content, archive.names), strict=True))
    assert found == files
