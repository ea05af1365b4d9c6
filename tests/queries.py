"""The example queries of docs/flows.md are answered by DuckDB, of a store that this portlane makes: see scripts/queries."""

import os
import re
import struct
import subprocess
import sys
import tempfile
import time

import duckdb


def queries():
    """Those of docs/flows.md, as they are there."""
    with open("docs/flows.md", encoding="utf-8") as docs:
        blocks = re.findall(r"^```sql\n(.*?)^```", docs.read(), re.MULTILINE | re.DOTALL)
    return [query.strip() for block in blocks for query in block.split(";\n") if query.strip()]


def write_refused(path):
    """A capture of a SYN from 192.0.2.1 to port 32000 of 10.77.0.1, which nobody answers: neither the demo nor the bundled capture has one."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, bytes([192, 0, 2, 1]), bytes([10, 77, 0, 1]))
    tcp = struct.pack("!HHIIBBHHH", 40_000, 32_000, 1, 0, 0x50, 2, 64_240, 0, 0)
    frame = bytes(12) + b"\x08\x00" + ip + tcp
    with open(path, "wb") as capture:
        capture.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1))
        capture.write(struct.pack("=IIII", int(time.time()), 0, len(frame), len(frame)) + frame)


def make_store(portlane, folder):
    """As `make demo FLOWS=store` does, of some seconds alone; and with somebody who is not answered."""
    refused, store = os.path.join(folder, "refused.pcap"), os.path.join(folder, "store")
    write_refused(refused)
    replay = [portlane, "replay", "--config", "examples/replay.toml", "--flows", store]
    shown = [portlane, "demo", "--seconds", "6", "--flows", store] if os.geteuid() == 0 else replay + ["tests/data/mixed.pcapng"]
    for command in shown, replay + [refused]:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main():
    asked = queries()
    if not asked:
        sys.exit("docs/flows.md has no query: there has to be a block of sql")
    portlane = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        make_store(portlane, folder)
        os.chdir(folder)
        for query in asked:
            try:
                answer = duckdb.sql(query).fetchall()
            except duckdb.Error as error:
                sys.exit(f"DuckDB {duckdb.__version__} does not answer a query of docs/flows.md: {error}\n\n{query}")
            if not answer:
                sys.exit(f"a query of docs/flows.md has no answer:\n\n{query}")
            print(f"{len(answer)} rows: {query.splitlines()[0]}")


main()
