// Products of training in float32: forward and back as the renderer has them, and the weights'
// gradients. What the other products_*.hpp offer too:
//   Thread                 held by a thread while it multiplies
//   Layer, pack, multiply, layer, outputs, output   as in network_float.hpp
//   BySample               activations with samples as rows
//   Factors                rows of a gradient in the form that add_products reads
//   add_products           sum[m][k] += Σ_samples y[row + m][sample] · x[sample][first + k], for
//                          m < rows, k < cols; both are multiples of 16
#pragma once
#include "sums_over_samples.hpp"

struct Products : Network {
    static constexpr int kRowsBySample = kTrainBlock;

    template <int Rows>
    class BySample {
      public:
        void fill(Rows16<Rows>& from) {
            for (int g = 0; g < kTrainGroups; ++g)
                for (int block = 0; block < Rows; block += 16)
                    transpose(from.row(g, block), values_ + g * 16 * Rows + block);
        }
        lanes::F load(int sample, int col) const { return lanes::load(values_ + sample * Rows + col); }

      private:
        static void transpose(const float* source, float* target) {
#if defined(__AVX512BW__)
            const __m512i columns = _mm512_mullo_epi32(
                _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                _mm512_set1_epi32(16));
            for (int sample = 0; sample < 16; ++sample)
                _mm512_store_ps(target + sample * Rows, _mm512_i32gather_ps(columns, source + sample, 4));
#else
            for (int sample = 0; sample < 16; ++sample)
                for (int r = 0; r < 16; ++r) target[sample * Rows + r] = source[r * 16 + sample];
#endif
        }
        alignas(64) float values_[kTrainBlock * Rows];
    };

    template <int Rows>
    class Factors {
      public:
        explicit Factors(Rows16<Rows>& y) : y_(y) {}
        lanes::F operator()(int row, int sample) const {
            return lanes::splat(y_.row(sample / 16, row)[sample % 16]);
        }

      private:
        Rows16<Rows>& y_;
    };

    static lanes::F add_product(lanes::F x, lanes::F factor, lanes::F sum) {
        return lanes::fma(x, factor, sum);
    }
    template <int YRows, int XRows>
    static void add_products(const Factors<YRows>& y, int row, int rows, const BySample<XRows>& x,
                             int first, int cols, float* sum) {
        add_in_registers<Products>(y, row, rows, x, first, cols, sum);
    }
};
