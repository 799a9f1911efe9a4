// Products of training in bfloat16 with float32 sums: two factors of a sum at once.
//
// Activations stay float32; for every product they are rounded and laid in pairs of rows (what is
// summed over), sixteen samples side by side. The weights' gradients are sums over samples: there the
// pairs are neighbouring samples.
#pragma once
#include "activations.hpp"

struct Products {
    using F = lanes::F;
    using Value = uint32_t;
    static constexpr int kRows = 8, kGroups = 2;
    static constexpr int kMaxPairs = 96;
    static constexpr int kRowsBySample = kTrainBlock / 2;

    struct Layer {
        Buffer<uint32_t> weights;  // [rows / kRows][pairs][kRows]
        int rows = 0, cols = 0;
        int pairs() const { return (cols + 1) / 2; }
    };

    static Layer pack(const Matrix& matrix) {
        Layer layer;
        layer.rows = (matrix.rows + kRows - 1) / kRows * kRows;
        layer.cols = matrix.cols;
        layer.weights = Buffer<uint32_t>(static_cast<size_t>(layer.rows) * layer.pairs());
        for (int r = 0; r < matrix.rows; ++r)
            for (int c = 0; c < matrix.cols; ++c)
                layer.weights[(static_cast<size_t>(r / kRows) * layer.pairs() + c / 2) * kRows + r % kRows] |=
                    rounded(matrix.at(r, c)) << (16 * (c % 2));
        return layer;
    }

    template <typename Write>
    static void multiply(const Layer& w, const uint32_t* x, int x_words, int groups, Write write) {
        alignas(64) uint32_t in[kTrainGroups * kMaxPairs * 16];
        const int pairs = w.pairs();
        for (int g = 0; g < groups; ++g) {
            const float* rows = reinterpret_cast<const float*>(x + g * x_words);
            for (int p = 0; p < pairs; ++p) {
                const F second = 2 * p + 1 < w.cols ? lanes::load(rows + (2 * p + 1) * 16)
                                                    : lanes::splat(0.0f);
                _mm512_store_si512(in + (g * pairs + p) * 16,
                                   interleaved(lanes::load(rows + 2 * p * 16), second));
            }
        }
        for (int row = 0; row < w.rows; row += kRows) {
            const uint32_t* weights = w.weights.get() + static_cast<size_t>(row) * pairs;
            for (int g = 0; g + kGroups <= groups; g += kGroups)
                block(weights, pairs, in + g * pairs * 16, g, row, write);
        }
    }
    static void layer(const Layer& w, const uint32_t* x, int x_words, int groups, uint32_t* y,
                      int y_words, Network::Thread&) {
        multiply(w, x, x_words, groups, [&](int g, int row, F value) {
            lanes::store(reinterpret_cast<float*>(y + g * y_words) + row * 16,
                         lanes::max(value, lanes::splat(0.0f)));
        });
    }
    static void outputs(const Layer& w, const uint32_t* x, int x_words, int groups, float* out) {
        multiply(w, x, x_words, groups, [&](int g, int row, F value) {
            lanes::store(out + (g * 8 + row) * 16, value);
        });
    }
    static F output(const float* out, int group, int row) {
        return lanes::load(out + (group * 8 + row) * 16);
    }

    // Pairs of neighbouring samples as rows.
    template <int Rows>
    static void transpose(Rows16<Rows>& from, uint32_t* to) {
        const Factors<Rows> pairs(from);
        for (int g = 0; g < kTrainGroups; ++g)
            for (int block = 0; block < Rows; block += 8)
                transpose_8(pairs.of(g, block), to + g * 8 * Rows + block, Rows);
    }

    template <int Rows>
    class Factors {
      public:
        explicit Factors(Rows16<Rows>& y) {
            for (int g = 0; g < kTrainGroups; ++g)
                for (int r = 0; r < Rows; ++r)
                    _mm256_store_si256(
                        reinterpret_cast<__m256i*>(pairs_ + (g * Rows + r) * 8),
                        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(lanes::load(y.row(g, r)))));
        }
        const uint32_t* of(int g, int row) const { return pairs_ + (g * Rows + row) * 8; }
        __m512i operator()(int row, int pair) const {
            return _mm512_set1_epi32(static_cast<int>(of(pair / 8, row)[pair % 8]));
        }

      private:
        alignas(64) uint32_t pairs_[kTrainGroups * Rows * 8];
    };

    static __m512i load(const uint32_t* x) { return _mm512_load_si512(x); }
    static F add_product(__m512i x, __m512i factor, F sum) {
        return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(factor));
    }

  private:
    // Eight rows of eight words, columns to rows: gathers are slow on some processors.
    static void transpose_8(const uint32_t* from, uint32_t* to, int stride) {
        __m256i r[8], t[8];
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i)
            r[i] = _mm256_load_si256(reinterpret_cast<const __m256i*>(from + i * 8));
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
    static uint32_t rounded(float value) {
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    }
    // Lane i: row a in the lower half, row b in the upper.
    static __m512i interleaved(F a, F b) {
        alignas(64) static constexpr uint16_t kOrder[32] = {
            0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
            8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
        return _mm512_permutexvar_epi16(_mm512_load_si512(kOrder),
                                        reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(b, a)));
    }
    template <typename Write>
    static inline void block(const uint32_t* weights, int pairs, const uint32_t* in, int g, int row,
                             Write write) {
        F sum[kRows][kGroups];
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
            for (int n = 0; n < kGroups; ++n) sum[r][n] = lanes::splat(0.0f);
        for (int p = 0; p < pairs; ++p) {
            const __m512i x[kGroups] = {load(in + p * 16), load(in + (pairs + p) * 16)};
#pragma GCC unroll 8
            for (int r = 0; r < kRows; ++r) {
                const __m512i weight = _mm512_set1_epi32(static_cast<int>(weights[p * kRows + r]));
#pragma GCC unroll 2
                for (int n = 0; n < kGroups; ++n) sum[r][n] = add_product(x[n], weight, sum[r][n]);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
            for (int n = 0; n < kGroups; ++n) write(g + n, row + r, sum[r][n]);
    }
};
