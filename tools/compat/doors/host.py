"""A program with SQLite of its own that has loaded libquire.so: asks statements of the topics, prints the rows as Python has them.

    host.py MODULE LIBRARY DATA PLAIN < statements, a JSON array of strings

MODULE is sqlite3, pysqlite3 or apsw. PLAIN is the same rows as plain tables, asked by the same SQLite; `ok` or what differs is printed for
each statement, a JSON array of [statement, sentence] at the end.
"""
import importlib
import json
import random
import sys

import spelling


def connect(module, path):
    made = importlib.import_module(module)
    connection = (made.Connection if module == "apsw" else made.connect)(path)
    if module != "apsw":
        # A text is told from a blob, also one that is no UTF-8.
        connection.text_factory = lambda data: ("text", bytes(data))
    connection.enable_load_extension(True)
    return connection


def ask(connection, sql):
    return [tuple((type(value).__name__, value) for value in row) for row in connection.cursor().execute(sql)]


def main(module, library, data, plain):
    topics, tables = connect(module, ":memory:"), connect(module, plain)
    topics.load_extension(library)
    topics.cursor().execute("SELECT quire_attach(?)", (data,)).fetchall()
    tables.load_extension(library)   # for the functions
    rng = random.Random(7)
    different = []
    statements = json.load(sys.stdin)
    for sql in statements:
        spelled = spelling.respell(sql, rng)
        answers = []
        for connection, asked in ((tables, sql), (topics, spelled)):
            try:
                answers.append(ask(connection, asked))
            except Exception as error:   # whatever a module calls its errors
                answers.append(f"{type(error).__name__}: {error}")
        # What plain tables do not answer either (texts that a module cannot have) is no answer.
        if answers[0] != answers[1] or not isinstance(answers[0], list) and "UTF" not in answers[0].upper():
            different.append([spelled, f"got {answers[1]!r:.300}, expected {answers[0]!r:.300}"])
    version = topics.cursor().execute("SELECT sqlite_version()").fetchall()[0][0]
    json.dump({"version": version if isinstance(version, str) else version[1].decode(), "different": different}, sys.stdout)


main(*sys.argv[1:])
