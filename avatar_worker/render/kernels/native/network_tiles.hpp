// Small networks in bfloat16 on the matrix unit (AMX).
//
// Weights are the left operand (rows = neurons), samples the columns. An activation lies as
// [row pair][16 samples] with two bfloat16 rows in a word: the form in which the matrix unit wants
// its right operand, and in which sixteen look-ups and two accumulator rows leave their registers.
// Nothing is ever transposed. See network_float.hpp for the interface.
#pragma once
#include "memory.hpp"
#include "tables.hpp"
#include "tile_unit.hpp"

struct Network {
    using F = lanes::F;
    struct Layer {
        Buffer<uint16_t> weights;  // [row tile][column tile][16][32]
        int row_tiles = 0, col_tiles = 0;
    };
    // Loads the tile configuration for the thread that makes it.
    struct Thread {
        TileConfiguration configuration;
        alignas(64) float sums[2][4][256];
    };

    static constexpr int kChunks = 1;
    static constexpr int kBlock = 128;
    static constexpr bool kChooses = true;
    // Activations are cut, not rounded, to bfloat16 (an eighth faster); they are too small by this
    // on average, so the weights that meet them are larger by it. 68.8 dB with, 62.9 without.
    static constexpr float kTruncationGain = 1.0028f;
    // Half precision becomes bfloat16 by a shift; its exponent then counts from another number.
    static constexpr float kFeatureGain = 0x1p112f;

    static int64_t multiply_adds(int64_t rounds) {
        alignas(64) static const uint32_t zeros[256] = {};
        const TileConfiguration configuration;
        TILE_LOAD(4, zeros);
        TILE_LOAD(5, zeros);
        TILE_LOAD(6, zeros);
        TILE_LOAD(7, zeros);
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
        for (int64_t i = 0; i < rounds; ++i) {
            TILE_MULTIPLY(0, 4, 6);
            TILE_MULTIPLY(1, 4, 7);
            TILE_MULTIPLY(2, 5, 6);
            TILE_MULTIPLY(3, 5, 7);
        }
        return rounds * 4 * 16 * 16 * 32;
    }

    static constexpr int words(int rows) { return rows * 8; }

    static Layer pack(const Matrix& matrix) {
        Layer layer = empty(matrix, (matrix.rows + 31) / 32 * 2);
        for (int r = 0; r < matrix.rows; ++r)
            for (int c = 0; c < matrix.cols; ++c) place(layer, r, c, to_bf16(matrix.at(r, c)));
        return layer;
    }
    // The rest that rounding leaves goes eight rows further down, where the tile is empty.
    static Layer pack_outputs(const Matrix& matrix) {
        Layer layer = empty(matrix, 1);
        for (int r = 0; r < matrix.rows; ++r)
            for (int c = 0; c < matrix.cols; ++c) {
                const float value = matrix.at(r, c);
                place(layer, r, c, to_bf16(value));
                place(layer, r + 8, c, to_bf16(value - rounded_to_bf16(value)));
            }
        return layer;
    }

    static void layer(const Layer& w, const uint32_t* x, int x_words, int groups, uint32_t* y,
                      int y_words, Thread& thread) {
        switch (w.col_tiles) {
            case 2: return layer_of<2>(w, x, x_words, groups, y, y_words, thread);
            case 3: return layer_of<3>(w, x, x_words, groups, y, y_words, thread);
            default: return layer_of<4>(w, x, x_words, groups, y, y_words, thread);
        }
    }

    static void outputs(const Layer& w, const uint32_t* x, int x_words, int groups, float* out) {
        for (int g = 0; g < groups; g += 2) {
            const uint32_t *x0 = x + g * x_words, *x1 = x0 + x_words;
            TILE_ZERO(0);
            TILE_ZERO(1);
            for (int k = 0; k < w.col_tiles; ++k) {
                TILE_LOAD(4, w.weights.get() + k * 512);
                TILE_LOAD(6, x0 + k * 256);
                TILE_LOAD(7, x1 + k * 256);
                TILE_MULTIPLY(0, 4, 6);
                TILE_MULTIPLY(1, 4, 7);
            }
            TILE_STORE(0, out + g * 256);
            TILE_STORE(1, out + g * 256 + 256);
        }
    }
    static F output(const float* out, int chunk, int row) {
        const float* tile = out + chunk * 256 + row * 16;
        return lanes::add(lanes::load(tile), lanes::load(tile + 8 * 16));
    }

    // Two rows of sixteen rays, kept for their samples; in one word here.
    static void keep_pair(uint32_t* kept, int, F first, F second) {
        lanes::store(kept, pair(first, second));
    }
    static void fetch_pair(const uint32_t* kept, int, const lanes::I* ray, uint32_t* x, int row) {
        lanes::store(x + row * 8, lanes::gather(kept, *ray));
    }
    static void put_pair(uint32_t* x, int row, const F* first, const F* second) {
        lanes::store(x + row * 8, pair(*first, *second));
    }

    // Two levels at a time, side by side in the halves of a word.
    static void look_up(const Tables& tables, const F point[][3], uint32_t* x, int row) {
        constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        constexpr __mmask32 upper = 0xAAAAAAAAu;
#pragma GCC unroll 6
        for (int level = 0; level < kLevels; level += 2) {
            const Cells even(tables, level, point[0]), odd(tables, level + 1, point[0]);
            __m512i shares[3];
            for (int axis = 0; axis < 3; ++axis)
                shares[axis] = _mm512_inserti64x4(
                    _mm512_castsi256_si512(_mm512_cvtps_ph(even.share[axis], mode)),
                    _mm512_cvtps_ph(odd.share[axis], mode), 1);
            for (int plane = 0; plane < kPlanes; ++plane) {
                lanes::I near, far;
                const __m512i along = shares[kSecondAxis[plane]];
                const __m512i across = shares[kFirstAxis[plane]];
                even.gather(tables, level, plane, near, far);
                const __m512i first =
                    mix_halves(near, far, _mm512_permutexvar_epi16(twice(0), along));
                odd.gather(tables, level + 1, plane, near, far);
                const __m512i second =
                    mix_halves(near, far, _mm512_permutexvar_epi16(twice(16), along));
                const __m512i value = mix_halves(
                    _mm512_mask_blend_epi16(upper, first, _mm512_slli_epi32(second, 16)),
                    _mm512_mask_blend_epi16(upper, _mm512_srli_epi32(first, 16), second),
                    _mm512_permutexvar_epi16(interleaved(), across));
                lanes::store(x + (row + plane * kLevels + level) * 8, shifted_to_bf16(value));
            }
        }
    }

  private:
    // Two by two accumulators: 32 neurons of 32 samples. `groups` is even.
    template <int ColTiles>
    static void layer_of(const Layer& w, const uint32_t* x, int x_words, int groups, uint32_t* y,
                         int y_words, Thread& thread) {
        for (int m = 0; m < w.row_tiles; m += 2) {
            const uint16_t* upper = w.weights.get() + static_cast<size_t>(m) * ColTiles * 512;
            const uint16_t* lower = upper + ColTiles * 512;
            for (int g = 0; g < groups; g += 2) {
                const uint32_t *x0 = x + g * x_words, *x1 = x0 + x_words;
                float(*sums)[256] = thread.sums[(g >> 1) & 1];
                TILE_ZERO(0);
                TILE_ZERO(1);
                TILE_ZERO(2);
                TILE_ZERO(3);
#pragma GCC unroll 4
                for (int k = 0; k < ColTiles; ++k) {
                    TILE_LOAD(4, upper + k * 512);
                    TILE_LOAD(6, x0 + k * 256);
                    TILE_MULTIPLY(0, 4, 6);
                    TILE_LOAD(7, x1 + k * 256);
                    TILE_MULTIPLY(1, 4, 7);
                    TILE_LOAD(5, lower + k * 512);
                    TILE_MULTIPLY(2, 5, 6);
                    TILE_MULTIPLY(3, 5, 7);
                }
                TILE_STORE(0, sums[0]);
                TILE_STORE(1, sums[1]);
                TILE_STORE(2, sums[2]);
                TILE_STORE(3, sums[3]);
                uint32_t *y0 = y + g * y_words + m * 128, *y1 = y0 + y_words;
                relu_pack(sums[0], y0);
                relu_pack(sums[1], y1);
                relu_pack(sums[2], y0 + 128);
                relu_pack(sums[3], y1 + 128);
            }
        }
    }

    static Layer empty(const Matrix& matrix, int row_tiles) {
        Layer layer;
        layer.row_tiles = row_tiles;
        layer.col_tiles = (matrix.cols + 31) / 32;
        layer.weights = Buffer<uint16_t>(static_cast<size_t>(row_tiles) * layer.col_tiles * 512);
        return layer;
    }
    static void place(Layer& layer, int r, int c, uint16_t value) {
        const size_t tile = static_cast<size_t>(r / 16) * layer.col_tiles + c / 32;
        layer.weights[tile * 512 + (r % 16) * 32 + c % 32] = value;
    }
    // bfloat16 of the number times 2⁻¹¹²: sign, five bits of exponent, seven rounded of fraction.
    static __m512i shifted_to_bf16(__m512i half) {
        const __m512i rounded = _mm512_add_epi16(half, _mm512_set1_epi16(4));
        return _mm512_and_si512(_mm512_srai_epi16(rounded, 3),
                                _mm512_set1_epi16(static_cast<short>(0x8FFF)));
    }
    // Half-words i and 16 + i side by side.
    static __m512i interleaved() {
        return _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                                22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    }
    // Half-word `from` + i twice.
    static __m512i twice(int from) {
        const __m512i first = _mm512_set_epi16(15, 15, 14, 14, 13, 13, 12, 12, 11, 11, 10, 10, 9, 9,
                                               8, 8, 7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
        return _mm512_add_epi16(first, _mm512_set1_epi16(static_cast<short>(from)));
    }
    static __m512i pair(F first, F second) {
        return _mm512_permutexvar_epi16(interleaved(), (__m512i)_mm512_cvtne2ps_pbh(second, first));
    }
    // Cuts sixteen rows of floats to bfloat16 pairs; negative ones become 0.
    static inline void relu_pack(const float* rows, uint32_t* pairs) {
        const __m512i zero = _mm512_setzero_si512();
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) {
            const __m512i first = _mm512_srli_epi32(_mm512_load_si512(rows + 32 * i), 16);
            const __m512i both =
                _mm512_mask_mov_epi16(first, 0xAAAAAAAAu, _mm512_load_si512(rows + 32 * i + 16));
            _mm512_store_si512(pairs + 16 * i, _mm512_max_epi16(both, zero));
        }
    }
};
