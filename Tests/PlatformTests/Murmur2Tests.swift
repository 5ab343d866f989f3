import Platform
import Testing

struct Murmur2Tests {
    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    @Test(
        arguments: [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] as [(String, Int32)])
    func `keys hash as Kafka hashes them`(key: String, hash: Int32) {
        #expect(murmur2([UInt8](key.utf8).span) == hash)
    }

    @Test
    func `a negative hash still names a partition, and no modulus of a negative number`() {
        let key = [UInt8]("21".utf8)
        #expect(murmur2Partition(key.span, of: 6) == Int((-973_932_308 as Int32) & 0x7fff_ffff) % 6)
        #expect(murmur2Partition([UInt8]().span, of: 1) == 0)
    }
}
