// Small networks in half precision (AVX-512 FP16): twice the arithmetic of float32.
//
// A group is 32 samples: 32-bit lane j holds sample j in its lower and sample 16 + j in its upper
// half. Products are summed in half precision; the few rows that leave the network are summed in
// parts of eight and the parts in float32. See network_float.hpp for the interface.
#pragma once
#include "memory.hpp"
#include "tables.hpp"

struct Network {
    using F = lanes::F;
    using H = __m512h;
    struct Layer {
        Buffer<uint32_t> weights;  // [rows / 8][cols][8], each weight twice in its word
        int rows = 0, cols = 0;
    };
    struct Thread {};

    static constexpr int kChunks = 2;
    static constexpr int kBlock = 128;
    static constexpr bool kChooses = false;
    static constexpr float kTruncationGain = 1.0f, kFeatureGain = 1.0f;
    static constexpr int kRows = 8;
    static constexpr int kPart = 8;  // products of an output summed in half precision

    static int64_t multiply_adds(int64_t rounds) {
        constexpr int kChains = 10;
        H sums[kChains];
        for (H& sum : sums) sum = _mm512_setzero_ph();
        const H factor = _mm512_set1_ph(static_cast<_Float16>(0.5f));
        for (int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 10
            for (H& sum : sums) sum = _mm512_fmadd_ph(sum, factor, factor);
        asm volatile("" : : "r"(sums) : "memory");  // somebody may look at them
        return rounds * kChains * 32;
    }

    static constexpr int words(int rows) { return rows * 16; }

    static Layer pack(const Matrix& matrix) {
        Layer layer;
        layer.rows = (matrix.rows + kRows - 1) / kRows * kRows;
        layer.cols = matrix.cols;
        layer.weights = Buffer<uint32_t>(static_cast<size_t>(layer.rows) * layer.cols);
        for (int r = 0; r < matrix.rows; ++r)
            for (int c = 0; c < matrix.cols; ++c)
                layer.weights[(static_cast<size_t>(r / kRows) * layer.cols + c) * kRows + r % kRows] =
                    twice(matrix.at(r, c));
        return layer;
    }
    // Outputs have one to eight rows, and are computed as eight: as fast as one, whose products
    // would wait for each other.
    static Layer pack_outputs(const Matrix& matrix) {
        Layer layer = pack(matrix);
        layer.rows = matrix.rows;
        return layer;
    }

    static void layer(const Layer& w, const uint32_t* x, int x_words, int groups, uint32_t* y,
                      int y_words, Thread&) {
        for (int row = 0; row < w.rows; row += kRows) {
            const uint32_t* weights = w.weights.get() + static_cast<size_t>(row) * w.cols;
            int g = 0;
            for (; g + 2 <= groups; g += 2)
                block<2>(weights, w.cols, x + g * x_words, x_words, y + g * y_words + row * 16, y_words);
            if (g < groups)
                block<1>(weights, w.cols, x + g * x_words, x_words, y + g * y_words + row * 16, y_words);
        }
    }

    static void outputs(const Layer& w, const uint32_t* x, int x_words, int groups, float* out) {
        for (int g = 0; g < groups; ++g) {
            float *low = out + 2 * g * 128, *high = low + 128;
            for (int c = 0; c < w.cols; c += kPart) {
                H sum[kRows];
#pragma GCC unroll 8
                for (int r = 0; r < kRows; ++r) sum[r] = _mm512_setzero_ph();
                for (int k = c; k < c + kPart && k < w.cols; ++k) {
                    const H in = row_of(x + g * x_words, k);
                    const uint32_t* weights = w.weights.get() + k * kRows;
#pragma GCC unroll 8
                    for (int r = 0; r < kRows; ++r)
                        sum[r] = _mm512_fmadd_ph(in, both(weights[r]), sum[r]);
                }
#pragma GCC unroll 8
                for (int r = 0; r < kRows; ++r) {
                    if (r >= w.rows) break;
                    const __m512i part = _mm512_castph_si512(sum[r]);
                    add_part(low + r * 16, lanes::lower_half(part), c == 0);
                    add_part(high + r * 16, lanes::upper_half(part), c == 0);
                }
            }
        }
    }
    static F output(const float* out, int chunk, int row) {
        return lanes::load(out + (chunk * 8 + row) * 16);
    }

    static void keep_pair(uint32_t* kept, int stride, F first, F second) {
        lanes::store(reinterpret_cast<float*>(kept), first);
        lanes::store(reinterpret_cast<float*>(kept) + stride, second);
    }
    static void fetch_pair(const uint32_t* kept, int stride, const lanes::I* ray, uint32_t* x, int row) {
        F rows[2][kChunks];
        for (int k = 0; k < 2; ++k)
            for (int chunk = 0; chunk < kChunks; ++chunk)
                rows[k][chunk] =
                    lanes::gather(reinterpret_cast<const float*>(kept) + k * stride, ray[chunk]);
        put_pair(x, row, rows[0], rows[1]);
    }
    static void put_pair(uint32_t* x, int row, const F* first, const F* second) {
        lanes::store(x + row * 16, interleave(first[0], first[1]));
        lanes::store(x + row * 16 + 16, interleave(second[0], second[1]));
    }

    static void look_up(const Tables& tables, const F point[][3], uint32_t* x, int row) {
        for (int level = 0; level < kLevels; ++level) {
            const Cells cells[2] = {{tables, level, point[0]}, {tables, level, point[1]}};
            for (int plane = 0; plane < kPlanes; ++plane) {
                const int first = kFirstAxis[plane], second = kSecondAxis[plane];
                __m512i mixed[2];  // both neighbours along the first coordinate
                for (int chunk = 0; chunk < 2; ++chunk) {
                    lanes::I entries[2];
                    cells[chunk].gather(tables, level, plane, entries[0], entries[1]);
                    const H near = _mm512_castsi512_ph(entries[0]), far = _mm512_castsi512_ph(entries[1]);
                    const F share = cells[chunk].share[second];
                    const H along = _mm512_castsi512_ph(interleave(share, share));
                    mixed[chunk] = _mm512_castph_si512(
                        _mm512_fmadd_ph(_mm512_sub_ph(far, near), along, near));
                }
                constexpr __mmask32 upper = 0xAAAAAAAAu;
                const H low = _mm512_castsi512_ph(
                    _mm512_mask_blend_epi16(upper, mixed[0], _mm512_slli_epi32(mixed[1], 16)));
                const H high = _mm512_castsi512_ph(
                    _mm512_mask_blend_epi16(upper, _mm512_srli_epi32(mixed[0], 16), mixed[1]));
                const H across =
                    _mm512_castsi512_ph(interleave(cells[0].share[first], cells[1].share[first]));
                const H value = _mm512_fmadd_ph(_mm512_sub_ph(high, low), across, low);
                lanes::store(x + (row + plane * kLevels + level) * 16, _mm512_castph_si512(value));
            }
        }
    }

  private:
    static void add_part(float* sum, F part, bool is_first) {
        lanes::store(sum, is_first ? part : lanes::add(lanes::load(sum), part));
    }
    static uint32_t twice(float value) {
        const uint32_t half = static_cast<uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT));
        return half | half << 16;
    }
    static H both(uint32_t weight) {
        return _mm512_castsi512_ph(_mm512_set1_epi32(static_cast<int>(weight)));
    }
    static H row_of(const uint32_t* x, int row) {
        return _mm512_castsi512_ph(_mm512_load_si512(x + row * 16));
    }
    static __m512i interleave(F low, F high) {
        constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        return _mm512_or_si512(
            _mm512_cvtepu16_epi32(_mm512_cvtps_ph(low, mode)),
            _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_cvtps_ph(high, mode)), 16));
    }

    template <int N>
    static inline void block(const uint32_t* weights, int cols, const uint32_t* x, int x_words,
                             uint32_t* y, int y_words) {
        H sum[kRows][N];  // unrolled everywhere, or it would live in memory
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
            for (int n = 0; n < N; ++n) sum[r][n] = _mm512_setzero_ph();
        for (int c = 0; c < cols; ++c) {
            H in[N];
            for (int n = 0; n < N; ++n) in[n] = row_of(x + n * x_words, c);
#pragma GCC unroll 8
            for (int r = 0; r < kRows; ++r) {
                const H weight = both(weights[c * kRows + r]);
#pragma GCC unroll 2
                for (int n = 0; n < N; ++n) sum[r][n] = _mm512_fmadd_ph(in[n], weight, sum[r][n]);
            }
        }
        // Not a number becomes 0 and infinity the largest number, so that neither spreads.
        const H zero = _mm512_setzero_ph(), most = _mm512_set1_ph(static_cast<_Float16>(65504.0f));
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
            for (int n = 0; n < N; ++n)
                lanes::store(y + n * y_words + r * 16,
                             _mm512_castph_si512(
                                 _mm512_min_ph(_mm512_max_ph(sum[r][n], zero), most)));
    }
};
