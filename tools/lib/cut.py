"""What a power cut leaves of a directory, built from the log of tools/powerloss-src/record.c.

Kept is what was synced: contents by fsync or fdatasync of their file, names by fsync of their directory. Of the rest,
any torn part: writes by sectors, in any order, and operations on names in order or not at all.
"""
import os
import struct

ENTRY = struct.Struct("<QIIQQQ")
CREATE, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, RENAME, UNLINK, UNSUPPORTED = range(1, 9)


class Inode:
    """A file or directory: what is durable of it, and what has been done since, in order."""

    def __init__(self, is_directory):
        self.is_directory = is_directory
        self.content = bytearray()   # of a file
        self.names = {}              # of a directory
        self.pending = []            # writes and truncations, or operations on names
        self.dropped = 0             # how many have become durable and left `pending`

    def make_durable(self, until):
        """Everything up to the operation number `until`."""
        count = until - self.dropped
        for operation in self.pending[:max(count, 0)]:
            (apply_name if self.is_directory else apply_content)(self, operation)
        if count > 0:
            del self.pending[:count]
            self.dropped = until


def apply_content(inode, operation, into=None):
    content = inode.content if into is None else into
    kind, at, data = operation
    if kind == TRUNCATE:
        if at < len(content):
            del content[at:]
        else:
            content.extend(bytes(at - len(content)))
        return
    if at > len(content):
        content.extend(bytes(at - len(content)))
    content[at:at + len(data)] = data


def apply_name(inode, operation, into=None):
    names = inode.names if into is None else into
    removed, added, target = operation
    if removed is not None:
        names.pop(removed, None)
    if added is not None:
        names[added] = target


class Recording:
    """Plays the log forward, entry by entry; `write_cut` builds the directory as a cut at this point would leave it."""

    def __init__(self, log, root_inode, ignore_syncs=False):
        with open(log, "rb") as file:
            self.log = memoryview(file.read())
        self.ignore_syncs = ignore_syncs
        self.root = Inode(True)
        self.inodes = {root_inode: self.root}
        self.syncs = {}
        self.position = 0
        self.now = 0                 # time of the last entry played

    def entries(self):
        """(position, time, operation, name) of every whole entry, for choosing where to cut."""
        position = 0
        while position + ENTRY.size <= len(self.log):
            time, operation, length, *_ = ENTRY.unpack_from(self.log, position)
            if position + ENTRY.size + length > len(self.log):
                return
            payload = b"" if operation == WRITE else bytes(self.log[position + ENTRY.size:position + ENTRY.size + length])
            yield position, time, operation, payload.decode(errors="replace")
            position += ENTRY.size + length

    def play_through(self, position):
        """Plays every entry up to and with the one at `position`."""
        while self.position <= position:
            time, operation, length, inode, a, b = ENTRY.unpack_from(self.log, self.position)
            start = self.position + ENTRY.size
            self.position, self.now = start + length, time
            self.play(operation, inode, a, b, self.log[start:start + length])

    def play(self, operation, number, a, b, payload):
        if operation == CREATE:
            inode = self.inodes[number] = Inode(bool(b))
            self.inodes[a].pending.append((None, bytes(payload).decode(), inode))
        elif operation == WRITE:
            self.inodes[number].pending.append((WRITE, a, payload))
        elif operation == TRUNCATE:
            self.inodes[number].pending.append((TRUNCATE, a, None))
        elif operation == SYNC_BEGIN:
            inode = self.inodes[number]
            self.syncs[a] = (inode, inode.dropped + len(inode.pending))
        elif operation == SYNC_END:
            inode, until = self.syncs.pop(a)
            if b and not self.ignore_syncs:
                inode.make_durable(until)
        elif operation == RENAME:
            old, new = bytes(payload).decode().split("\0")
            target = self.inodes[number]
            if a == b:
                self.inodes[a].pending.append((old, new, target))
            else:
                self.inodes[b].pending.append((None, new, target))
                self.inodes[a].pending.append((old, None, None))
        elif operation == UNLINK:
            self.inodes[a].pending.append((bytes(payload).decode(), None, None))
        else:
            raise AssertionError(f"the recorder cannot follow {bytes(payload).decode()}: a cut would keep too much")

    def write_cut(self, directory, rng):
        """Builds what is left in `directory`, which must not exist; returns a line that says how much was torn."""
        torn = {"files": 0, "names": 0}
        self.write_directory(self.root, directory, rng, torn)
        return f"{torn['files']} files and {torn['names']} directories had unsynced changes"

    def write_directory(self, inode, path, rng, torn):
        os.mkdir(path)
        names = dict(inode.names)
        if inode.pending:
            torn["names"] += 1
            for operation in surviving_names(inode.pending, rng):
                apply_name(inode, operation, names)
        for name, target in names.items():
            below = os.path.join(path, name)
            if target.is_directory:
                self.write_directory(target, below, rng, torn)
                continue
            torn["files"] += bool(target.pending)
            with open(below, "wb") as file:
                file.write(surviving_content(target, rng))
            if name.endswith(".db") and rng.random() < 0.3:   # shared memory may be there, with anything in it
                with open(below + "-shm", "wb") as file:
                    file.write(rng.randbytes(32768))


def surviving_names(pending, rng):
    """Mostly those up to some point, as a journal keeps them; sometimes any, but none after a lost one of the same name."""
    if rng.random() < 0.7:
        return pending[:rng.randrange(len(pending) + 1)]
    survivors, lost = [], set()
    for operation in pending:
        touched = {name for name in operation[:2] if name is not None}
        if rng.random() < 0.5 or touched & lost:
            lost |= touched
        else:
            survivors.append(operation)
    return survivors


def surviving_content(inode, rng):
    content = bytearray(inode.content)
    if not inode.pending:
        return content
    way = rng.random()
    if way < 0.2:                                         # nothing of it
        return content
    operations = inode.pending
    if way < 0.45:                                        # all up to some point, the last one torn
        count = rng.randrange(len(operations) + 1)
        for operation in operations[:count]:
            apply_content(inode, operation, content)
        operations, chance = operations[count:count + 1], 0.5
    elif way < 0.6:                                       # everything, though nobody asked for it
        chance = 1.0
    else:                                                 # any sectors of any writes
        chance = rng.choice((0.1, 0.5, 0.9))
    sector = rng.choice((512, 4096))
    for kind, at, data in operations:
        if kind == TRUNCATE:
            if rng.random() < chance:
                apply_content(inode, (kind, at, data), content)
            continue
        position = 0
        while position < len(data):
            count = min(sector - (at + position) % sector, len(data) - position)
            if rng.random() < chance:
                apply_content(inode, (WRITE, at + position, data[position:position + count]), content)
            position += count
        end = at + len(data)
        if len(content) < end and rng.random() < 0.3:     # the file has grown, the data has not arrived
            content.extend(bytes(end - len(content)))
    return content
