"""What exports become in other tools' hands, and what comes back by import.

    suite.py [PART]…      only the checks whose names have a PART in them
"""
import contextlib
import glob
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

import duckdb
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

import exported
import node
from checks import check, equal, finish, wait_until
from exported import DAY, READERS
from node import Node

FORMATS = tuple(READERS)
SIZES = ("--topic-config", "max.message.bytes=4194304", "--topic-config", "retention.ms=-1")
ONLY = sys.argv[1:]


def wants(name):
    return not ONLY or any(part in name for part in ONLY)


def quire(*arguments, ok=True):
    done = node.run(*arguments, seconds=300)
    assert (done.returncode == 0) == ok, f"exit {done.returncode}: quire {' '.join(arguments)}: {done.stderr[-800:]}"
    return done


def export(out, *arguments, topic="events"):
    form = arguments[0]
    quire("export", topic, "--format", form, "--output", out, *arguments[1:])
    return out


def main():
    with tempfile.TemporaryDirectory(prefix="quire-export-") as scratch, Node(f"{scratch}/data") as broker:
        os.environ.update(QUIRE_BOOTSTRAP=broker.kafka, QUIRE_SERVER=f"http://{broker.http}")
        for topic, partitions in (("events", 3), ("many", 2)):
            quire("topic", "create", topic, "--partitions", str(partitions), *SIZES)
        stored = exported.produce(broker.kafka, "events", 3, 4000)
        # A data directory is read up to the high watermarks that are written down in it, a moment later.
        wait_until(lambda: quire("query", "SELECT count(*) FROM events", "--data-dir", broker.data, "--format", "csv")
                   .stdout.split()[-1] == "4000", 20, "everything is written down")
        os.mkdir(f"{scratch}/out")
        for part in (formats, ranges, declared, parquet, folders, imports, foreign, increments, kills):
            part(f"{scratch}/out", broker, stored)
    finish()


def formats(out, broker, stored):
    for form in FORMATS:
        for source, arguments in (("node", []), ("data directory", ["--data-dir", broker.data])):
            for reader in READERS[form]:
                name = f"{form} from a {source}: every record, every byte, by {reader.__name__[5:]}"
                if wants(name):
                    with check(name):
                        equal(list(reader(export(f"{out}/{source[0]}.{form}", form, *arguments))), stored, "record")
    if wants("sqlite: the shell and Datasette"):
        with check("sqlite: the shell and Datasette open it, indexes are used"):
            path = export(f"{out}/shell.db", "sqlite")

            def shell(sql):
                return subprocess.run(["sqlite3", path, sql], capture_output=True, text=True, check=True).stdout.strip()

            equal(shell("PRAGMA integrity_check"), "ok")
            equal(shell("SELECT count(*), sum(length(value) IS NULL) FROM records"), f"{len(stored)}|{sum(r.value is None for r in stored)}")
            for question in ("key = 'ann'", "timestamp > 5", "topic = 'events' AND partition = 1 AND offset = 7"):
                assert "USING INDEX" in shell(f"EXPLAIN QUERY PLAN SELECT value FROM records WHERE {question}"), question
            served = subprocess.run(
                [sys.executable, "-m", "datasette", path, "--get", "/shell/records.json?key=ann&_size=max&_shape=objects"],
                capture_output=True, text=True, timeout=60)
            assert served.returncode == 0, served.stderr[-500:]
            page = json.loads(served.stdout)
            equal(page["filtered_table_rows_count"], sum(record.key == b"ann" for record in stored), "rows in Datasette")


def ranges(out, broker, stored):
    if wants("conditions, ranges and columns"):
        with check("conditions, ranges and columns choose what they say"):
            path = export(f"{out}/some.jsonl", "jsonl", "--where", "key = 'ben' AND value ->> '$.n' % 2 = 0")
            equal(list(exported.read_jsonl(path)),
                  [record for record in stored if record.key == b"ben" and json.loads(record.value)["n"] % 2 == 0], "record")
            path = export(f"{out}/day.csv", "csv", "--from", "2025-03-10", "--to", "2025-03-11T00:00:00Z")
            begin = exported.BEGIN + DAY
            equal(list(exported.read_csv(path)), [record for record in stored if begin <= record.timestamp < begin + DAY], "record")
            path = export(f"{out}/some.parquet", "parquet", "--columns", "offset,key", "--from", "1:100", "--to", "1:200")
            table = pyarrow.parquet.read_table(path)
            equal(table.column_names, ["offset", "key", "key_bytes"])
            equal(table.column("offset").to_pylist(), list(range(100, 200)), "offset")
            refused = quire("export", "events", "--format", "csv", "--output", f"{out}/no.csv", "--where", "nonsense = 1", ok=False)
            assert "nonsense" in refused.stderr, refused.stderr
            assert not os.path.exists(f"{out}/no.csv")


COLUMNS = (("user", "TEXT", "value ->> '$.user'", "--indexed"), ("n", "INTEGER", "value ->> '$.n'"),
           ("half", "REAL", "(value ->> '$.n') / 2.0"), ("share", "NUMERIC", "(value ->> '$.n') * 0.25"),
           ("is_even", "BOOLEAN", "(value ->> '$.n') % 2 = 0"), ("raw", "BLOB", "key"), ("whole", "JSON", "iif(json_valid(value), value, NULL)"),
           ("day", "TIMESTAMPTZ", "strftime('%Y-%m-%dT00:00:00Z', timestamp / 1000, 'unixepoch')"), ("never", "INTEGER", "value ->> '$.never'"),
           ("quoted", "TEXT", """iif(value ->> '$.n' IS NULL, NULL, substr('a,"b', 1, (value ->> '$.n') % 5))"""))
NAMES = [column[0] for column in COLUMNS]


def declared(out, broker, _):
    if not (wants("declared columns") or wants("columns")):
        return
    quire("topic", "create", "typed", "--partitions", "3", *SIZES)
    stored = exported.produce(broker.kafka, "typed", 3, 3000, seed=5)
    for column in COLUMNS:
        quire("column", "add", "typed", *column)
    # What SQL says, in an order of its own.
    told = quire("query", f"SELECT partition, offset, {', '.join(NAMES)} FROM typed ORDER BY partition, offset", "--format", "jsonl").stdout
    wanted = {}
    for line in told.splitlines():
        row = json.loads(line)
        wanted[row.pop("partition"), row.pop("offset")] = {name: exported.from_json(value) for name, value in row.items()}
    assert len(wanted) == len(stored) and sum(row["user"] is not None for row in wanted.values()) > 1000
    assert {row["quoted"] for row in wanted.values()} >= {None, "", 'a,"b'}
    wait_until(lambda: len(list(exported.read_jsonl(export(f"{out}/typed.wait", "jsonl", "--data-dir", broker.data, topic="typed")))) == len(stored),
               20, "everything is written down")
    for form, readers in exported.COLUMN_READERS.items():
        for source, arguments in (("node", []), ("data directory", ["--data-dir", broker.data])):
            with check(f"{form} from a {source}: declared columns have the values that SQL has, behind every byte of the record"):
                path = export(f"{out}/typed-{source[0]}.{form}", form, *arguments, topic="typed")
                for reader in READERS[form]:
                    equal(list(reader(path)), stored, "record")
                for reader in readers:
                    got = {place: row for place, row in reader(path, NAMES)}
                    equal(sorted(got), sorted(wanted), "place")
                    for place, row in wanted.items():
                        equal(got[place], exported.as_type(row, COLUMNS, form), f"columns of {place}")
    with check("declared columns: Parquet and SQLite have their types, SQLite their indexes"):
        schema = pyarrow.parquet.read_schema(f"{out}/typed-n.parquet")
        equal([str(schema.field(name).type) for name in NAMES],
              ["string", "int64", "double", "double", "bool", "binary", "string", "timestamp[ms, tz=UTC]", "int64", "string"])
        equal(schema.names[:9], ["topic", "partition", "offset", "timestamp", "key", "value", "key_bytes", "value_bytes", "headers"])
        plan = subprocess.run(["sqlite3", f"{out}/typed-n.sqlite", "EXPLAIN QUERY PLAN SELECT * FROM records WHERE user = 'ann'"],
                              capture_output=True, text=True, check=True).stdout
        assert "USING INDEX" in plan, plan
        counts = duckdb.sql(f"SELECT \"user\", count(*), sum(n) FROM '{out}/typed-n.parquet' WHERE n >= 0 GROUP BY 1 ORDER BY 1 NULLS FIRST").fetchall()
        told = quire("query", 'SELECT "user", count(*), sum(n) FROM typed WHERE n >= 0 GROUP BY 1 ORDER BY 1 NULLS FIRST', "--format", "json").stdout
        equal(counts, [tuple(row.values()) for row in json.loads(told)])
        group = pyarrow.parquet.ParquetFile(f"{out}/typed-n.parquet").metadata.row_group(0)
        bounds = {group.column(number).path_in_schema: group.column(number).statistics for number in range(group.num_columns)}
        known = [row["half"] for row in wanted.values() if row["half"] is not None]
        equal((bounds["half"].min, bounds["half"].max, bounds["half"].null_count), (min(known), max(known), len(wanted) - len(known)))
        equal((bounds["is_even"].min, bounds["is_even"].max), (False, True))
        equal(bounds["never"].null_count, len(wanted))
    with check("declared columns: chosen by name, and asked in a condition"):
        path = export(f"{out}/typed-some.csv", "csv", "--columns", "n,offset,user", "--where", "user = 'ann' AND n % 2 = 0", topic="typed")
        with open(path) as file:
            lines = file.read().splitlines()
        equal(lines[0], "offset,user,n")
        equal(len(lines) - 1, sum(row["user"] == "ann" and row["n"] % 2 == 0 for row in wanted.values()))
        refused = quire("export", "typed", "--format", "csv", "--output", f"{out}/no.csv", "--columns", "offset,usr", ok=False)
        assert "no column 'usr'" in refused.stderr and "never" in refused.stderr, refused.stderr
        assert not os.path.exists(f"{out}/no.csv")
    for form in FORMATS:
        with check(f"{form}: with declared columns an import gives an equal topic"):
            equal(taken_in(out, f"typed-{form}", form, f"{out}/typed-n.{form}"), without_topic(stored), "record")
    with check("declared columns: what pyarrow and DuckDB made of the file is taken back too"):
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(f"{out}/typed-n.parquet"), f"{out}/typed-arrow.parquet")
        duckdb.sql(f"COPY (SELECT * FROM '{out}/typed-n.parquet') TO '{out}/typed-duck.parquet' (FORMAT parquet)")
        for maker in ("arrow", "duck"):
            equal(taken_in(out, f"typed-{maker}", "parquet", f"{out}/typed-{maker}.parquet"), without_topic(stored), "record")
    with check("declared columns: a value that is not of its type is no Parquet, and its place is said"):
        quire("column", "add", "typed", "odd", "INTEGER", "iif(partition = 1 AND offset = 700, 'seven', offset)")
        refused = quire("export", "typed", "--format", "parquet", "--output", f"{out}/odd.parquet", ok=False)
        assert "typed-1, offset 700: column odd is of type INTEGER, and the value is the TEXT 'seven'" in refused.stderr, refused.stderr
        assert not os.path.exists(f"{out}/odd.parquet")
        told = quire("export", "typed", "--format", "csv", "--output", "-", "--columns", "odd", "--from", "1:700", "--to", "1:702").stdout
        equal(told.split(), ["odd", "seven", "701"])
    with check("declared columns: an increment begins a file with the columns of now, and says so"):
        for number, change in enumerate((None, ("drop", "typed", "odd"), None)):
            if change:
                quire("column", *change)
            exported.produce(broker.kafka, "typed", 3, 30, seed=number)
            done = quire("export", "typed", "--format", "csv", "--output", f"{out}/typed-{number}.csv", "--incremental", f"{out}/typed.state")
            with open(f"{out}/typed-{number}.csv") as file:
                assert ("odd" in file.readline()) == (number == 0)
            assert ("columns have changed" in done.stderr) == (number == 1), done.stderr


def parquet(out, broker, _):
    if not wants("parquet of many row groups"):
        return
    stored = exported.produce(broker.kafka, "many", 2, 60_000, padding=1500)
    path = f"{out}/many.parquet"
    with check("parquet of many row groups: bounds that readers use, and every record"):
        process = subprocess.Popen([node.binary(), "export", "many", "--format", "parquet", "--output", path],
                                   stderr=subprocess.DEVNULL)
        peak = node.peak_of(process)
        equal(process.returncode, 0, "exit")
        print(f"# peak memory {peak >> 20} MB", flush=True)
        # Two groups of 32 MiB, one that is collected and one that is written.
        assert peak < 150 << 20, f"{peak >> 20} MB"
        file = pyarrow.parquet.ParquetFile(path)
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        assert len(groups) >= 3, f"{len(groups)} row groups"
        by_path = {groups[0].column(number).path_in_schema: number for number in range(groups[0].num_columns)}
        for number, group in enumerate(groups):
            rows = file.read_row_group(number, columns=["partition", "offset", "timestamp", "key"])
            for name in rows.column_names:
                bounds = group.column(by_path[name]).statistics
                values = [value for value in rows.column(name).to_pylist() if value is not None]
                equal((bounds.min, bounds.max, bounds.null_count), (min(values), max(values), rows.num_rows - len(values)), name)
            equal(group.column(by_path["value"]).compression, "ZSTD")
            assert "RLE_DICTIONARY" in group.column(by_path["key"]).encodings, group.column(by_path["key"]).encodings
        equal(list(exported.read_parquet(path)), stored, "record")
    with check("parquet of many row groups: the same answers by DuckDB, pyarrow and SQL of the node"):
        counts = duckdb.sql(f"SELECT key, count(*), max(\"offset\") FROM '{path}' WHERE key IN ('ann', 'ben') GROUP BY key ORDER BY key").fetchall()
        told = quire("query", "SELECT key, count(*), max(offset) FROM many WHERE key IN ('ann', 'ben') GROUP BY key ORDER BY key", "--format", "json")
        equal(counts, [tuple(row.values()) for row in json.loads(told.stdout)])
        late = pyarrow.parquet.read_table(path, filters=[("partition", "=", 1), ("offset", ">=", 29_990)])
        equal(late.num_rows, sum(record.partition == 1 and record.offset >= 29_990 for record in stored))


def folders(out, broker, stored):
    if not wants("folders by day"):
        return
    with check("folders by day: each record in the one of its own day, read as columns by DuckDB and pyarrow"):
        lake = export(f"{out}/lake", "parquet", "--split-by", "day", "--split-bytes", "1MB")
        days = sorted(name.split("=")[1] for name in os.listdir(f"{lake}/topic=events"))
        equal(days, ["2025-03-08", "2025-03-09", "2025-03-10", "2025-03-11"])
        rows = duckdb.sql(f"SELECT partition, \"offset\", date::VARCHAR, strftime(timestamp, '%Y-%m-%d') "
                          f"FROM read_parquet('{lake}/**/*.parquet', hive_partitioning = true) ORDER BY 1, 2").fetchall()
        equal([row[:2] for row in rows], [record[1:3] for record in stored], "record")
        assert all(row[2] == row[3] for row in rows), "a record lies in the folder of another day"
        table = pyarrow.dataset.dataset(lake, format="parquet", partitioning="hive").to_table(columns=["partition", "offset"])
        equal(sorted(zip(*table.to_pydict().values())), [record[1:3] for record in stored], "record")
        assert not glob.glob(f"{lake}/**/.*", recursive=True), "something is left over"


def imports(out, broker, stored):
    for form in FORMATS:
        name = f"{form}: an import gives an equal topic"
        if wants(name):
            with check(name):
                path = export(f"{out}/back.{form}", form)
                equal(taken_in(out, f"back-{form}", form, path), without_topic(stored), "record")
    if wants("folders come back"):
        with check("jsonl: folders come back with every record, in order within files"):
            lake = export(f"{out}/lines", "jsonl", "--split-bytes", "100KB")
            assert len(glob.glob(f"{lake}/**/*.jsonl", recursive=True)) > 3
            equal(taken_in(out, "back-lines", "jsonl", lake), without_topic(stored), "record")
    if wants("errors name their place"):
        with check("an import's errors name their place, and say what was stored"):
            with open(f"{out}/bad.csv", "w") as file:
                file.write("key,value\nk,1\nk,2\nk\n")
            done = quire("import", "bad", "--format", "csv", "--input", f"{out}/bad.csv", ok=False)
            assert "bad.csv, line 4: 1 fields" in done.stderr and "2 records were stored" in done.stderr, done.stderr
            done = quire("import", "bad", "--format", "parquet", "--input", f"{out}/bad.csv", ok=False)
            assert "no Parquet file" in done.stderr, done.stderr


def without_topic(records):
    return [record._replace(topic="") for record in records]


def taken_in(out, topic, form, path, partitions=3):
    quire("topic", "create", topic, "--partitions", str(partitions), *SIZES)
    quire("import", topic, "--format", form, "--input", path)
    return without_topic(exported.read_jsonl(export(f"{out}/{topic}.check", "jsonl", topic=topic)))


def foreign(out, broker, stored):
    wanted = without_topic(stored)
    table = None
    for codec in ("none", "snappy", "gzip", "zstd"):
        for version in ("1.0", "2.0"):
            for dictionary in (True, False):
                name = f"pyarrow writes Parquet: {codec}, data pages {version}, {'dictionaries' if dictionary else 'plain'}"
                if not wants(name):
                    continue
                if table is None:
                    table = pyarrow.parquet.read_table(export(f"{out}/foreign.parquet", "parquet"))
                with check(name):
                    path = f"{out}/foreign-{codec}-{version}-{dictionary}.parquet"
                    pyarrow.parquet.write_table(table, path, compression=codec, data_page_version=version, use_dictionary=dictionary,
                                                row_group_size=1500, data_page_size=20_000, coerce_timestamps="us" if dictionary else "ms")
                    equal(taken_in(out, f"arrow-{codec}-{version}-{dictionary}", "parquet", path), wanted, "record")
    if wants("DuckDB writes Parquet"):
        with check("DuckDB writes Parquet"):
            source = export(f"{out}/duck.parquet", "parquet")
            duckdb.sql(f"COPY (SELECT * FROM '{source}') TO '{out}/ducks.parquet' (FORMAT parquet, COMPRESSION zstd)")
            equal(taken_in(out, "ducks", "parquet", f"{out}/ducks.parquet"), wanted, "record")
    if wants("pandas writes CSV"):
        with check("pandas writes CSV of keys and values alone"):
            import pandas
            pandas.DataFrame({"key": ["a", "b,c", None], "value": ["1", 'q"uote\nline', ""]}).to_csv(f"{out}/pandas.csv", index=False)
            records = taken_in(out, "pandas", "csv", f"{out}/pandas.csv", partitions=1)
            equal([(record.key, record.value) for record in records], [(b"a", b"1"), (b"b,c", b'q"uote\nline'), (None, None)])


def increments(out, broker, _):
    if not wants("incremental"):
        return
    with check("incremental exports together have every record once, though each is killed now and then"):
        quire("topic", "create", "grows", "--partitions", "2", *SIZES)
        rng = random.Random(3)
        stored, state, got = [], f"{out}/state", []
        for number in range(6):
            if number % 2 == 0:
                stored += exported.produce(broker.kafka, "grows", 2, 3000, seed=number)
            path = f"{out}/grows-{number}.jsonl"
            arguments = ["export", "grows", "--format", "jsonl", "--output", path, "--incremental", state]
            for _ in range(3):
                killed(arguments, rng.uniform(0.0, 0.25))
            quire(*arguments, ok=True) if not os.path.exists(path) else None
            if os.path.exists(path):
                got += exported.read_jsonl(path)
        quire("export", "grows", "--format", "jsonl", "--output", f"{out}/grows-last.jsonl", "--incremental", state)
        if os.path.exists(f"{out}/grows-last.jsonl"):
            got += exported.read_jsonl(f"{out}/grows-last.jsonl")
        equal(sorted(record[:3] for record in got), sorted(record[:3] for record in stored), "record")


def killed(arguments, seconds):
    """Runs `quire` and kills it after a while, if it has not ended by then."""
    process = subprocess.Popen([node.binary(), *arguments], stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()


def forget(*files):
    """Removes an export with its journal, which would miss it: one that was killed behind its rename has both."""
    for name in files:
        with contextlib.suppress(FileNotFoundError):
            os.remove(name)


def written(path):
    """Something that changes whenever the file is written; None where there is nothing in it."""
    try:
        state = os.stat(path)
    except FileNotFoundError:
        return None
    return (state.st_ino, state.st_mtime_ns) if state.st_size else None


def kills(out, broker, stored):
    for form in FORMATS:
        name = f"{form}: killed and gone on with"
        if not wants(name):
            continue
        with check(f"{form}: killed and gone on with, it shows nothing before it is whole, and then everything"):
            path, rng = f"{out}/killed.{form}", random.Random(form)
            arguments = ["export", "events", "--format", form, "--output", path, "--checkpoint-bytes", "200kb"]
            journal, resumed = f"{out}/.killed.{form}.quire-export", 0
            for _ in range(4):
                killed(arguments, rng.uniform(0.02, 0.3))
                if os.path.exists(path):
                    equal(list(READERS[form][0](path)), stored, "record of an export that has its name")
                    forget(path, journal)
            # Then killed as soon as something more is noted down, twice at least; one that was faster is begun anew.
            for _ in range(50):
                process = subprocess.Popen([node.binary(), *arguments, "--resume"], stderr=subprocess.PIPE, text=True)
                noted = written(journal)
                while process.poll() is None and written(journal) in (noted, None):
                    time.sleep(0.002)
                process.kill()
                resumed += "going on behind" in process.communicate()[1]
                if resumed > 1:
                    break
                if os.path.exists(path):
                    forget(path, journal)
            is_whole = os.path.exists(path)
            if not is_whole:
                quire(*arguments, "--resume")
            assert resumed > 0, "no export went on from where another was killed"
            equal(list(READERS[form][0](path)), stored, "record")
            if is_whole:
                forget(journal)
            equal([name for name in os.listdir(out) if "killed" in name], [f"killed.{form}"])
            os.remove(path)


main()
