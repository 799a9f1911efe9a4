// Products of training in bfloat16 with float32 sums: two factors of a sum at once.
//
// Activations stay float32; for every product they are rounded and laid in pairs of rows (what is
// summed over), sixteen samples side by side. The weights' gradients are sums over samples: there the
// pairs are neighbouring samples.
#pragma once
#include "bfloat_pairs.hpp"
#include "sums_over_samples.hpp"

struct Products : WrittenProducts<Products> {
    using F = lanes::F;
    struct Thread {};
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
                    static_cast<uint32_t>(to_bf16(matrix.at(r, c))) << (16 * (c % 2));
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

    // Pairs of neighbouring samples as rows.
    template <int Rows>
    class BySample {
      public:
        void fill(Rows16<Rows>& from) {
            const Factors<Rows> pairs(from);
            for (int g = 0; g < kTrainGroups; ++g)
                for (int block = 0; block < Rows; block += 8)
                    transpose_8(pairs.of(g, block), 8, values_ + g * 8 * Rows + block, Rows);
        }
        __m512i load(int pair, int col) const { return _mm512_load_si512(values_ + pair * Rows + col); }

      private:
        alignas(64) uint32_t values_[kRowsBySample * Rows];
    };

    static F add_product(__m512i x, __m512i factor, F sum) {
        return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(factor));
    }

    template <int YRows, int XRows>
    static void add_products(const Factors<YRows>& y, int row, int rows, const BySample<XRows>& x,
                             int first, int cols, float* sum) {
        add_in_registers<Products>(y, row, rows, x, first, cols, sum);
    }

  private:
    template <typename Write>
    static inline void block(const uint32_t* weights, int pairs, const uint32_t* in, int g, int row,
                             Write write) {
        F sum[kRows][kGroups];
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
            for (int n = 0; n < kGroups; ++n) sum[r][n] = lanes::splat(0.0f);
        for (int p = 0; p < pairs; ++p) {
            const __m512i x[kGroups] = {_mm512_load_si512(in + p * 16),
                                        _mm512_load_si512(in + (pairs + p) * 16)};
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
