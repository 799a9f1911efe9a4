// Small networks in bfloat16 with the dot products of AVX-512: twice the arithmetic of float32
// where a processor starts as many of these as of other multiplications (AMD's Zen 5).
//
// An activation lies as for the matrix unit (network_tiles.hpp): [row pair][16 samples] with two
// bfloat16 rows in a word. A pair of weights, spread over a register, meets sixteen such words and
// adds both products to sixteen float32 sums. The instruction itself takes numbers below 1e-38
// for 0. See network_float.hpp for the interface.
#pragma once
#include "memory.hpp"
#include "tables.hpp"

struct Network {
    using F = lanes::F;
    struct Layer {
        Buffer<uint32_t> weights;  // [rows / R][column pairs][R], two in a word
        int rows = 0, pairs = 0;
    };
    struct Thread {};

    static constexpr int kChunks = 1;
    static constexpr int kBlock = 128;
    static constexpr bool kChooses = true;
    static constexpr float kTruncationGain = 1.0f, kFeatureGain = 1.0f;  // everything is rounded
    static constexpr int kRows = 8, kGroups = 2;  // accumulators: 16 of 32 registers

    static int64_t multiply_adds(int64_t rounds) {
        constexpr int kChains = 16;
        F sums[kChains];
        for (F& sum : sums) sum = lanes::splat(0.0f);
        const __m512bh factor = (__m512bh)_mm512_set1_epi32(0x3F003F00);  // a half, twice
        for (int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 16
            for (F& sum : sums) sum = _mm512_dpbf16_ps(sum, factor, factor);
        asm volatile("" : : "r"(sums) : "memory");  // somebody may look at them
        return rounds * kChains * 32;
    }

    static constexpr int words(int rows) { return rows * 8; }

    static Layer pack(const Matrix& matrix) { return pack(matrix, kRows); }
    static Layer pack_outputs(const Matrix& matrix) {
        return pack(matrix, matrix.rows <= 1 ? 1 : matrix.rows <= 4 ? 4 : 8);
    }

    // Kept in one place: a copy for every layer is no faster, and where it comes to lie costs up to
    // a twentieth.
    [[gnu::noinline]] static void layer(const Layer& w, const uint32_t* x, int x_words, int groups,
                                        uint32_t* y, int y_words, Thread&) {
        for (int row = 0; row < w.rows; row += kRows) {
            const uint32_t* weights = w.weights.get() + static_cast<size_t>(row) * w.pairs;
            const uint32_t* from = x;
            uint32_t* to = y + row * 8;
            int g = 0;
            for (; g + kGroups <= groups; g += kGroups) {
                hidden<kGroups>(weights, w.pairs, from, x_words, to, y_words);
                from += kGroups * x_words;
                to += kGroups * y_words;
            }
            if (g < groups) hidden<1>(weights, w.pairs, from, x_words, to, y_words);
        }
    }

    static void outputs(const Layer& w, const uint32_t* x, int x_words, int groups, float* out) {
        switch (w.rows) {
            case 1: return outputs_of<1, 8>(w, x, x_words, groups, out);
            case 4: return outputs_of<4, 4>(w, x, x_words, groups, out);
            default: return outputs_of<8, 2>(w, x, x_words, groups, out);
        }
    }
    static F output(const float* out, int chunk, int row) {
        return lanes::load(out + (chunk * 8 + row) * 16);
    }

    static void keep_pair(uint32_t* kept, int, F first, F second) {
        lanes::store(kept, pair(first, second));
    }
    static void fetch_pair(const uint32_t* kept, int, const lanes::I* ray, uint32_t* x, int row) {
        lanes::store(x + row * 8, lanes::gather(kept, *ray));
    }
    static void put_pair(uint32_t* x, int row, const F* first, const F* second) {
        lanes::store(x + row * 8, pair(*first, *second));
    }

    static void look_up(const Tables& tables, const F point[][3], uint32_t* x, int row) {
        look_up_pairs(tables, point[0], [&](int level, int plane, F feature, F next) {
            lanes::store(x + (row + plane * kLevels + level) * 8, pair(feature, next));
        });
    }

  private:
    // Blocks of `block` rows.
    static Layer pack(const Matrix& matrix, int block) {
        Layer layer;
        layer.rows = (matrix.rows + block - 1) / block * block;
        layer.pairs = (matrix.cols + 1) / 2;
        layer.weights = Buffer<uint32_t>(static_cast<size_t>(layer.rows) * layer.pairs);
        for (int r = 0; r < matrix.rows; ++r)
            for (int c = 0; c < matrix.cols; ++c) {
                const size_t pair = static_cast<size_t>(r / block) * layer.pairs + c / 2;
                const uint32_t weight = to_bf16(matrix.at(r, c));
                layer.weights[pair * block + r % block] |= weight << (c % 2 * 16);
            }
        return layer;
    }

    // Sums of R rows of N groups.
    template <int R, int N>
    static inline void multiply(const uint32_t* weights, int pairs, const uint32_t* x, int x_words,
                                F sum[R][N]) {
        // All loops over the accumulators are unrolled, or they would live in memory.
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
            for (int n = 0; n < N; ++n) sum[r][n] = lanes::splat(0.0f);
        for (int c = 0; c < pairs; ++c) {
            __m512bh in[N];
#pragma GCC unroll 8
            for (int n = 0; n < N; ++n)
                in[n] = (__m512bh)_mm512_load_si512(x + n * x_words + c * 16);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
                const auto pair = (__m512bh)_mm512_set1_epi32(static_cast<int>(weights[c * R + r]));
#pragma GCC unroll 8
                for (int n = 0; n < N; ++n) sum[r][n] = _mm512_dpbf16_ps(sum[r][n], in[n], pair);
            }
        }
    }

    template <int N>
    static inline void hidden(const uint32_t* weights, int pairs, const uint32_t* x, int x_words,
                              uint32_t* y, int y_words) {
        F sum[kRows][N];
        multiply<kRows, N>(weights, pairs, x, x_words, sum);
        // Compared as whole numbers: what is negative becomes 0, infinity and what is no number
        // become the largest number, so that none of them spreads.
        const __m512i zero = _mm512_setzero_si512(), most = _mm512_set1_epi16(0x7F7F);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; r += 2)
#pragma GCC unroll 8
            for (int n = 0; n < N; ++n)
                lanes::store(y + n * y_words + r * 8,
                             _mm512_min_epi16(
                                 _mm512_max_epi16(pair(sum[r][n], sum[r + 1][n]), zero), most));
    }

    template <int R, int N>
    static void outputs_of(const Layer& w, const uint32_t* x, int x_words, int groups, float* out) {
        int g = 0;
        for (; g + N <= groups; g += N)
            output_block<R, N>(w, x + g * x_words, x_words, out + g * 128);
        for (; g < groups; ++g) output_block<R, 1>(w, x + g * x_words, x_words, out + g * 128);
    }
    template <int R, int N>
    static inline void output_block(const Layer& w, const uint32_t* x, int x_words, float* out) {
        F sum[R][N];
        multiply<R, N>(w.weights.get(), w.pairs, x, x_words, sum);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
            for (int n = 0; n < N; ++n) lanes::store(out + (n * 8 + r) * 16, sum[r][n]);
    }

    // Rounded to nearest even; the first number in the lower half of a word.
    static __m512i pair(F first, F second) {
        const __m512i interleaved = _mm512_set_epi16(
            31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
            19, 3, 18, 2, 17, 1, 16, 0);
        return _mm512_permutexvar_epi16(interleaved, (__m512i)_mm512_cvtne2ps_pbh(second, first));
    }
};
