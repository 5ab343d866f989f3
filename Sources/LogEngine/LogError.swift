package enum LogError: Error {
    case damaged(at: Offset, String)
}
