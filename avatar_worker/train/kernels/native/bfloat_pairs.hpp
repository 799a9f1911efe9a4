// Two bfloat16 numbers in a word, for products that take both at once.
#pragma once
#include "activations.hpp"

// What is summed over lies in pairs of rows, sixteen samples side by side: lane i has row a in
// the lower half, row b in the upper.
inline __m512i interleaved(lanes::F a, lanes::F b) {
    alignas(64) static constexpr uint16_t kOrder[32] = {
        0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder),
                                    reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(b, a)));
}

// Eight rows of eight words, columns to rows: gathers are slow on some processors.
inline void transpose_8(const uint32_t* from, int from_stride, uint32_t* to, int stride) {
    __m256i r[8], t[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i)
        r[i] = _mm256_load_si256(reinterpret_cast<const __m256i*>(from + i * from_stride));
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        auto* lower = reinterpret_cast<__m256i*>(to + i * stride);
        auto* upper = reinterpret_cast<__m256i*>(to + (i + 4) * stride);
        _mm256_store_si256(lower, _mm256_permute2x128_si256(r[i], r[i + 4], 0x20));
        _mm256_store_si256(upper, _mm256_permute2x128_si256(r[i], r[i + 4], 0x31));
    }
}

// Layers and outputs by `P::multiply`, which hands over each row of sixteen sums.
template <typename P>
struct WrittenProducts {
    static void layer(const auto& w, const uint32_t* x, int x_words, int groups, uint32_t* y, int y_words,
                      Network::Thread&) {
        P::multiply(w, x, x_words, groups, [&](int g, int row, lanes::F value) {
            lanes::store(reinterpret_cast<float*>(y + g * y_words) + row * 16,
                         lanes::max(value, lanes::splat(0.0f)));
        });
    }
    static void outputs(const auto& w, const uint32_t* x, int x_words, int groups, float* out) {
        P::multiply(w, x, x_words, groups, [&](int g, int row, lanes::F value) {
            if (row < 8) lanes::store(out + (g * 8 + row) * 16, value);
        });
    }
    static lanes::F output(const float* out, int group, int row) {
        return lanes::load(out + (group * 8 + row) * 16);
    }
};
