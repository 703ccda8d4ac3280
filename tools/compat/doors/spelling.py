"""The same statement spelled otherwise: white space, comments, capitals, quotes and aliases."""
import re

TOKEN = re.compile(r"""\s+ | --[^\n]* | [xX]?'(?:[^']|'')*' | "(?:[^"]|"")*" | [A-Za-z_][A-Za-z_0-9]* | \d+(?:\.\d+)?(?:[eE][+-]?\d+)?
                       | ->> | -> | \|\| | << | >> | <> | <= | >= | != | == | .""", re.VERBOSE | re.DOTALL)
SPACES = (" ",) * 12 + ("  ", "\n", "\t", " \n  ", " /* of the rest */ ", " -- and so on\n")
KEYWORDS = {"SELECT", "FROM", "WHERE", "GROUP", "ORDER", "BY", "LIMIT", "AND", "OR", "COUNT", "MAX", "MIN", "SUM", "IN", "AS", "JOIN",
            "ON", "WITH", "RECURSIVE", "UNION", "ALL", "OVER", "BETWEEN", "LIKE", "NOT", "IS", "NULL", "DISTINCT",
            "HAVING", "DESC", "CASE", "WHEN", "THEN", "ELSE", "END", "EXISTS", "CAST", "FILTER"}
QUOTED = {"events", "other"}
IN_ANY_ROW = {"offset", "partition", "timestamp", "time", "key", "value", "headers", "topic"}


def tokens(sql):
    return [token for token in TOKEN.findall(sql) if not token.isspace()]


def respell(sql, rng):
    words = tokens(sql)
    renamed = {}
    for before, name in zip(words, words[1:]):
        if before.upper() == "AS" and re.fullmatch(r"[a-z_]+", name) and name not in IN_ANY_ROW:
            renamed[name] = f"{name}_{rng.randrange(100)}"
    out = []
    for number, word in enumerate(words):
        is_called = words[number + 1:number + 2] == ["("]
        if word in renamed and words[number - 1:number] != ["."] and not is_called:
            word = renamed[word]
        elif word in QUOTED and rng.random() < 0.3:
            word = f'"{word}"'
        elif word.upper() in KEYWORDS and rng.random() < 0.5:
            word = rng.choice((word.lower(), word.upper(), word.capitalize()))
        # A function's name stays with its parenthesis: Postgres' spelling needs it, and so do SQLite's keywords that are functions.
        follows = word == "(" and number and re.fullmatch(r"[A-Za-z_0-9]+", words[number - 1])
        is_part = word in ".(" or words[number - 1:number] == ["."]
        out.append(("" if follows or is_part and number else rng.choice(SPACES)) + word)
    return "".join(out).strip() + rng.choice(("", ";", " ;\n"))
