"""FFV1's checksums (RFC 9043, 4.9): its decoder puts the frame before in a damaged one's place."""

import zlib

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_FOOTER_BYTES = 8  # slice_size, error_status, slice_crc_parity


def is_sound(packet: bytes) -> bool:
    """Whether all slices of a coded frame have the checksums that they carry, if they carry any."""
    slices, end = [], len(packet)
    while end > _FOOTER_BYTES:
        begin = end - _FOOTER_BYTES - int.from_bytes(packet[end - 8 : end - 5], "big")
        if begin < 0:
            return True  # footers of another size: without checksums
        slices.append(packet[begin:end])
        end = begin
    return bool(end) or not any(map(_remainder, slices))


def _remainder(data: bytes) -> int:
    """What is left by the polynomial 0x04C11DB7, most significant bit first, from 0: 0 if sound.

    zlib has the same with bits in reverse, from all ones, inverted.
    """
    return zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
