// Products of training in float32: forward and back as the renderer has them, and the weights'
// gradients. What products_pairs.hpp offers too:
//   Layer, pack, multiply, layer, outputs, output   as in network_float.hpp
//   Value, kRowsBySample   samples as rows: what one number is, and how many rows 64 samples take
//   transpose              rows of sixteen samples → samples as rows
//   Factors                rows of a gradient in the form that add_products reads
//   add_products           sum[m][k] += Σ_samples y[m][sample] · x[sample][k]
#pragma once
#include "activations.hpp"

struct Products : Network {
    using Value = float;
    static constexpr int kRowsBySample = kTrainBlock;

    template <int Rows>
    static void transpose(Rows16<Rows>& from, float* to) {
        for (int g = 0; g < kTrainGroups; ++g)
            for (int block = 0; block < Rows; block += 16) {
                const float* source = from.row(g, block);
                float* target = to + g * 16 * Rows + block;
#if defined(__AVX512BW__)
                const __m512i columns = _mm512_mullo_epi32(
                    _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                    _mm512_set1_epi32(16));
                for (int sample = 0; sample < 16; ++sample)
                    _mm512_store_ps(target + sample * Rows,
                                    _mm512_i32gather_ps(columns, source + sample, 4));
#else
                for (int sample = 0; sample < 16; ++sample)
                    for (int r = 0; r < 16; ++r) target[sample * Rows + r] = source[r * 16 + sample];
#endif
            }
    }

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

    static lanes::F load(const float* x) { return lanes::load(x); }
    static lanes::F add_product(lanes::F x, lanes::F factor, lanes::F sum) {
        return lanes::fma(x, factor, sum);
    }
};
