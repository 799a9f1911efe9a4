// The matrix unit's instructions and those in half precision that its processors have, or
// (AVATAR_EMULATE_TILES) the same in plain C++ for machines without: slow, for tests only.
#pragma once
#include <cstdint>
#include <cstring>
#include <immintrin.h>

#if !defined(AVATAR_EMULATE_TILES)
#include <sys/syscall.h>
#include <unistd.h>

// Linux hands out the tile registers on request, once per process, before threads start.
inline bool request_tiles() {
    constexpr int kRequestPermission = 0x1023, kTileData = 18;
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

struct alignas(64) TileShapes {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
// Static and behind a barrier: compilers take only its first bytes as read.
inline TileShapes tile_shapes;

// Eight tiles of 16 rows and 64 bytes for the thread, while it exists. Made anew for every call:
// other libraries configure and release tiles on the same thread.
class TileConfiguration {
  public:
    TileConfiguration() {
        asm volatile("" ::"r"(&tile_shapes) : "memory");
        _tile_loadconfig(&tile_shapes);
    }
    ~TileConfiguration() { _tile_release(); }
    TileConfiguration(const TileConfiguration&) = delete;
    TileConfiguration& operator=(const TileConfiguration&) = delete;
};

// Macros, because compilers want the tile numbers as literals.
#define TILE_ZERO(t) _tile_zero(t)
#define TILE_LOAD(t, from) TILE_LOAD_ROWS(t, from, 64)
#define TILE_STORE(t, to) TILE_STORE_ROWS(t, to, 64)
// Rows that lie so many bytes apart.
#define TILE_LOAD_ROWS(t, from, bytes) _tile_loadd(t, from, bytes)
#define TILE_STORE_ROWS(t, to, bytes) _tile_stored(t, to, bytes)
#define TILE_MULTIPLY(sum, a, b) _tile_dpbf16ps(sum, a, b)

// a + (b − a) · share, in half precision.
inline __m512i mix_halves(__m512i a, __m512i b, __m512i share) {
    const __m512h from = _mm512_castsi512_ph(a), to = _mm512_castsi512_ph(b);
    return _mm512_castph_si512(
        _mm512_fmadd_ph(_mm512_sub_ph(to, from), _mm512_castsi512_ph(share), from));
}

#else

inline bool request_tiles() { return true; }
struct TileConfiguration {};
inline thread_local uint32_t emulated_tiles[8][256];

#define TILE_ZERO(t) std::memset(emulated_tiles[t], 0, 1024)
#define TILE_LOAD(t, from) TILE_LOAD_ROWS(t, from, 64)
#define TILE_STORE(t, to) TILE_STORE_ROWS(t, to, 64)
#define TILE_LOAD_ROWS(t, from, bytes) copy_rows(emulated_tiles[t], 64, from, bytes)
#define TILE_STORE_ROWS(t, to, bytes) copy_rows(to, bytes, emulated_tiles[t], 64)
#define TILE_MULTIPLY(sum, a, b) emulated_multiply(sum, a, b)

inline void copy_rows(void* to, size_t to_bytes, const void* from, size_t from_bytes) {
    for (int row = 0; row < 16; ++row)
        std::memcpy(static_cast<char*>(to) + row * to_bytes,
                    static_cast<const char*>(from) + row * from_bytes, 64);
}

// Sum += A · B, two bfloat16 numbers in a word.
inline void emulated_multiply(int Sum, int A, int B) {
    float sum[256];
    auto number = [](uint32_t bits) { float v; std::memcpy(&v, &bits, 4); return v; };
    std::memcpy(sum, emulated_tiles[Sum], 1024);
    for (int row = 0; row < 16; ++row)
        for (int k = 0; k < 16; ++k) {
            const uint32_t a = emulated_tiles[A][row * 16 + k];
            const float low = number(a << 16), high = number(a & 0xffff0000u);
            for (int col = 0; col < 16; ++col) {
                const uint32_t b = emulated_tiles[B][k * 16 + col];
                sum[row * 16 + col] += low * number(b << 16) + high * number(b & 0xffff0000u);
            }
        }
    std::memcpy(emulated_tiles[Sum], sum, 1024);
}

// Sixteen halves at a time, rounded after each step.
inline __m512i mix_halves(__m512i a, __m512i b, __m512i share) {
    const auto rounded = [](__m512 v) { return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); };
    const auto mixed = [&](__m256i from, __m256i to, __m256i along) {
        const __m512 start = _mm512_cvtph_ps(from);
        const __m512 way = _mm512_cvtph_ps(rounded(_mm512_sub_ps(_mm512_cvtph_ps(to), start)));
        return rounded(_mm512_fmadd_ps(way, _mm512_cvtph_ps(along), start));
    };
    const auto upper = [](__m512i v) { return _mm512_extracti64x4_epi64(v, 1); };
    const __m256i low = mixed(_mm512_castsi512_si256(a), _mm512_castsi512_si256(b),
                              _mm512_castsi512_si256(share));
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), mixed(upper(a), upper(b), upper(share)), 1);
}
#endif
