internal import ArgumentParser
internal import Glibc

// A reader that goes away shows as EPIPE where we write, not as death by signal.
signal(SIGPIPE, SIG_IGN)
exit(await Program.run(Array(CommandLine.arguments.dropFirst())))
