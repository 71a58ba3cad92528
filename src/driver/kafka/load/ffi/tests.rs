//! The partitioners against values that others publish of them.

use super::partition_of;

/// So many that a hash without its sign is told from one with it.
const MANY: u16 = 30_011;

#[test]
fn murmur2_is_that_of_kafkas_own_producer() {
    // Of Kafka's UtilsTest.
    for (key, hash) in
        [("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)]
    {
        let expected = (hash & i32::MAX) % i32::from(MANY);
        for name in ["murmur2", "murmur2_random"] {
            assert_eq!(i32::from(partition_of(name, key.as_bytes(), MANY)), expected, "{key}");
        }
    }
}

#[test]
fn the_librarys_default_is_a_crc_and_fnv_is_another() {
    // The check value of CRC-32, and a value of Sarama's tests, whose sign librdkafka takes away.
    let check = 0xCBF4_3926u32 % u32::from(MANY);
    for name in ["consistent_random", "consistent"] {
        assert_eq!(u32::from(partition_of(name, b"123456789", MANY)), check, "{name}");
    }
    let fnv = 0x0D33_C4E1u32 % u32::from(MANY);
    assert_eq!(u32::from(partition_of("fnv1a", b"kafka", MANY)), fnv);
    assert_eq!(partition_of("murmur2", b"any", 1), 0);
}
