import ArgumentParser
struct Log: ParsableCommand {}
