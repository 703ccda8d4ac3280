"""A test of a test: the checker finds every anomaly in histories made up to have it, and none in those that have none."""
import history
from checks import check, equal, finish
from history import History, value_of

P = ("t", 0)


def good():
    """Two senders, ten records each, in turn; a reader that read them all; the log."""
    made, records = History(), []
    reader = made.reader("r")
    reader.seek(P, 0)
    for number in range(10):
        for sender in ("a", "b"):
            equal(made.send(P, sender), number)
            offset = len(records)
            records.append((offset, value_of(sender, number, made.size)))
            made.ack(P, sender, number, offset)
            reader.poll(P, offset, records[-1][1])
    made.commit_sent("g", P, 7)
    made.commit_sent("g", P, 9)
    made.commit("g", P, 7)
    return made, reader, records


def found(made, records, start=0):
    return {anomaly.kind for anomaly in made.judge({P: (start, records)})}


def shifted(records):
    return list(enumerate(value for _, value in records))


def none():
    made, _, records = good()
    return found(made, records), set()


def unanswered_is_none():
    # Sent, and nobody knows what came of it: there, and behind it not there.
    made, _, records = good()
    made.send(P, "a"), made.send(P, "a")
    return found(made, records + [(20, value_of("a", 10, made.size))]), set()


def lost():
    made, _, records = good()
    made.polled.clear()
    return found(made, shifted(records[:5] + records[6:])), {"lost", "unseen"}


def unplaced():
    # The client knows that it is there, and not where.
    made, _, records = good()
    made.ack(P, "a", made.send(P, "a"), None)
    return found(made, records + [(20, value_of("a", 10, made.size))]), set()


def lost_unplaced():
    made, _, records = good()
    made.ack(P, "a", made.send(P, "a"), None)
    return found(made, records), {"lost"}


def lost_alone():
    # Another record stands in its place, as when a deposed leader had acknowledged it.
    made, _, records = good()
    made.polled.clear()
    made.send(P, "c")
    return found(made, records[:5] + [(5, value_of("c", 0, made.size))] + records[6:]), {"lost"}


def unseen():
    made, _, records = good()
    made.polled.clear()
    return found(made, records[:-1]), {"unseen"}


def whole_partition():
    made, _, _ = good()
    return {anomaly.kind for anomaly in made.judge({})}, {"unseen"}


def duplicate():
    made, _, records = good()
    return found(made, records + [(20, records[3][1])]), {"duplicate"}


def reordered():
    # Never acknowledged, so that nothing but the order is wrong.
    made, _, records = good()
    first, second = made.send(P, "a"), made.send(P, "a")
    tail = [(20, value_of("a", second, made.size)), (21, value_of("a", first, made.size))]
    return found(made, records + tail), {"reordered"}


def two_acknowledgements_of_one_offset():
    made, _, records = good()
    made.ack(P, "a", made.send(P, "a"), 5)
    return found(made, records), {"inconsistent"}


def two_readings_of_one_offset():
    made, reader, records = good()
    made.send(P, "a")
    reader.seek(P, 5)
    reader.poll(P, 5, value_of("a", 10, made.size))
    return found(made, records), {"inconsistent"}


def phantom():
    made, _, records = good()
    return found(made, records + [(20, value_of("a", 10, made.size))]), {"phantom"}


def of_another_partition():
    made, _, records = good()
    made.send(("t", 1), "x")
    records = records + [(20, value_of("x", 0, made.size))]
    return {anomaly.kind for anomaly in made.judge({P: (0, records), ("t", 1): (0, [])})}, {"phantom"}


def changed():
    made, _, records = good()
    records[4] = (4, records[4][1][:-1] + b"!")
    return found(made, records), {"changed"}


def nobodys():
    made, _, records = good()
    made.acknowledged.clear(), made.polled.clear()
    records[4] = (4, b"\0" * 40)
    return found(made, records), {"changed"}


def vanished():
    # Given to a consumer before it was acknowledged, and then undone.
    made, reader, records = good()
    made.send(P, "a")
    reader.poll(P, 20, value_of("a", 10, made.size))
    return found(made, records), {"vanished"}


def backward():
    made, reader, records = good()
    reader.poll(P, 19, records[19][1])
    return found(made, records), {"backward"}


def back_by_a_seek():
    made, reader, records = good()
    reader.seek(P, 3)
    reader.poll(P, 3, records[3][1])
    reader.seek(P)
    reader.poll(P, 1, records[1][1])
    return found(made, records), set()


def skipped():
    made, reader, records = good()
    reader.seek(P, 3)
    reader.poll(P, 5, records[5][1])
    return found(made, records), {"skipped"}


def out_of_range():
    made, reader, records = good()
    reader.out_of_range(P, "OFFSET_OUT_OF_RANGE")
    return found(made, records), {"out of range"}


def gap():
    made, _, records = good()
    made.acknowledged.clear(), made.polled.clear()
    return found(made, records[:5] + records[6:]), {"gap"}


def truncated():
    made, _, records = good()
    made.acknowledged.clear(), made.polled.clear()
    return found(made, records[5:], 5), {"truncated"}


def commit_behind():
    made, _, records = good()
    made.commit("g", P, 9)
    made.committed("g", P, 7, made.least_commit("g", P))
    return found(made, records), {"commit lost"}


def commit_gone():
    made, _, records = good()
    made.committed("g", P, -1, made.least_commit("g", P))
    return found(made, records), {"commit lost"}


def commit_from_nowhere():
    made, _, records = good()
    made.committed("g", P, 8, made.least_commit("g", P))
    return found(made, records), {"commit phantom"}


def commit_ahead_is_none():
    # Sent, and its answer lost.
    made, _, records = good()
    made.committed("g", P, 9, made.least_commit("g", P))
    return found(made, records), set()


def main():
    cases = [none, unanswered_is_none, unplaced, lost, lost_unplaced, lost_alone, unseen, whole_partition, duplicate, reordered,
             two_acknowledgements_of_one_offset, two_readings_of_one_offset, phantom, of_another_partition, changed, nobodys,
             vanished, backward, back_by_a_seek, skipped, out_of_range, gap, truncated, commit_behind, commit_gone, commit_from_nowhere,
             commit_ahead_is_none]
    reached = set()
    for case in cases:
        with check(f"checker: {case.__name__.replace('_', ' ')}"):
            kinds, expected = case()
            equal(kinds, expected, "anomalies")
            reached |= kinds
    with check("checker: there is a history for every kind of anomaly"):
        equal(reached, set(history.KINDS))
    finish()


if __name__ == "__main__":
    main()
