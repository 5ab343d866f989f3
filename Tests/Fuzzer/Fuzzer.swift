import Dispatch
import Fuzzing
import Glibc

/// libFuzzer's own loop, for a program that has a `main`.
@_extern(c, "LLVMFuzzerRunDriver")
private func runFuzzer(
    _ count: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

/// `MILLRACE_FUZZ=TARGET millrace-fuzz CORPUS…`: feeds one parser with whatever reaches more of its
/// code, until it traps or contradicts itself. `Tests/fuzz` builds and runs it.
@main
enum Fuzzer {
    private static let target: FuzzTarget = {
        let name = getenv("MILLRACE_FUZZ").map { String(cString: $0) } ?? ""
        guard let target = FuzzTarget.all.first(where: { $0.name == name }) else {
            // Whoever names none is told which there are.
            print(FuzzTarget.all.map(\.name).joined(separator: " "))
            exit(name.isEmpty ? 0 : 2)
        }
        return target
    }()

    static func main() {
        _ = target
        var count = CommandLine.argc
        var arguments = CommandLine.unsafeArgv
        let status = runFuzzer(&count, &arguments) { bytes, byteCount in
            Fuzzer.check(Array(UnsafeBufferPointer(start: bytes, count: byteCount)))
            return 0
        }
        exit(status)
    }

    /// libFuzzer calls a plain function, and some parsers read from a disk.
    private static func check(_ bytes: [UInt8]) {
        let done = DispatchSemaphore(value: 0)
        Task {
            do throws(Contradiction) { try await target.check(bytes) } catch {
                fatalError("\(target.name): \(error)")
            }
            done.signal()
        }
        done.wait()
    }
}
