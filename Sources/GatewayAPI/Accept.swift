/// The value of an `Accept` field (RFC 9110 §12.5.1), asked which of a few forms it likes best.
struct Accept {
    private struct Range {
        var type: Substring
        var quality: Int
    }

    private var ranges: [Range] = []

    /// Ranges that cannot be read are passed over, as the RFC's robustness allows: a field of
    /// nothing else names no form.
    init(_ value: [UInt8]) {
        let text = String(decoding: value, as: UTF8.self).lowercased()
        for part in text.split(separator: ",") {
            let pieces = part.split(separator: ";").map { Self.trim($0) }
            guard let type = pieces.first, type.contains("/") else { continue }
            let quality = pieces.dropFirst().first { $0.hasPrefix("q=") }
            ranges.append(Range(type: type, quality: quality.map(Self.thousandths) ?? 1000))
        }
    }

    /// The index of the form with the highest quality, the earlier one among equals; nil where none
    /// is accepted. The more specific range decides for a form.
    func best(of forms: [String]) -> Int? {
        var best: (index: Int, quality: Int)?
        for (index, form) in forms.enumerated() {
            let quality = quality(of: form)
            if quality > 0, quality > best?.quality ?? 0 { best = (index, quality) }
        }
        return best?.index
    }

    private func quality(of form: String) -> Int {
        let family = form.split(separator: "/")[0] + "/*"
        for wanted in [form[...], family[...], "*/*"] {
            if let range = ranges.first(where: { $0.type == wanted }) { return range.quality }
        }
        return 0
    }

    private static func trim(_ text: Substring) -> Substring {
        var text = text
        while text.first == " " || text.first == "\t" { text.removeFirst() }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return text
    }

    /// `q=0.25` as 250; what is no quality counts as 1, as if it were absent.
    private static func thousandths(_ parameter: Substring) -> Int {
        let digits = parameter.dropFirst(2).utf8
        guard let whole = digits.first, whole == 0x30 || whole == 0x31, digits.count <= 5 else {
            return 1000
        }
        var value = Int(whole - 0x30) * 1000
        var unit = 100
        for digit in digits.dropFirst(2) {
            guard (0x30...0x39).contains(digit) else { return 1000 }
            value += Int(digit - 0x30) * unit
            unit /= 10
        }
        return min(value, 1000)
    }
}
