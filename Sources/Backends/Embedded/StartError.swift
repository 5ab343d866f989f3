/// Why a data directory cannot be served. The program prints it and ends with status 1.
package enum StartError: Error, Equatable {
    /// Another process has the directory.
    case locked(String)
    /// Written by a later program.
    case formatTooNew(found: Int64, known: Int64)
    /// node.json, or the state log, is not what was written. Nothing was changed.
    case damaged(String)
    case storage(String)

    /// A sentence for an operator.
    package var explanation: String {
        switch self {
        case .locked(let path):
            "The data directory is in use by another process (\(path) is locked)."
        case .formatTooNew(let found, let known):
            "The data directory has format version \(found); this program knows \(known). "
                + "Use the program that wrote it, or a later one."
        case .damaged(let reason): "The data directory is damaged: \(reason)"
        case .storage(let reason): "The data directory cannot be read or written: \(reason)"
        }
    }
}
