// Small networks in float32: works wherever there are vectors with fused multiply-add.
//
// What a "network" offers to the kernel (the three network_*.hpp agree on it):
//   kChunks      chunks of sixteen samples that lie together in a group
//   kBlock       samples that go through all layers before the next ones
//   kChooses     whether columns can be moved one by one: whether a word belongs to one sample
//   words(rows)  32-bit words of a group's activations with that many rows
//   kTruncationGain, kFeatureGain  what the weights that meet hidden activations and plane features
//                are multiplied by, to make good what these lost
//   multiply_adds  as many as fit, from registers: what the processor could do; returns how many
//   pack         a matrix in the form that `layer` and `outputs` want
//   layer        y = relu(W · x), for several groups
//   outputs      W · x in float32, for at most eight rows
//   output       sixteen values of what `outputs` wrote
//   put_pair     stores two rows of activations
//   keep_pair    keeps two rows of values of sixteen rays
//   fetch_pair   stores two such rows as activations, of the rays that samples belong to
//   look_up      plane features of a group, from row `row` on
#pragma once
#include "memory.hpp"
#include "tables.hpp"

struct Network {
    using F = lanes::F;
    struct Layer {
        Buffer<float> weights;  // [rows / kRows][cols][kRows]
        int rows = 0, cols = 0;
    };
    struct Thread {};  // nothing to prepare per thread

    static constexpr int kChunks = 1;
    static constexpr int kBlock = 128;
    static constexpr bool kChooses = true;
    static constexpr float kTruncationGain = 1.0f, kFeatureGain = 1.0f;
#if defined(__AVX512BW__)
    static constexpr int kRows = 8, kGroups = 2;  // accumulators: 16 of 32 registers
#else
    static constexpr int kRows = 4, kGroups = 1;  // accumulators: 8 of 16 registers
#endif

    static int64_t multiply_adds(int64_t rounds) {
        constexpr int kChains = 5 * kGroups;  // enough to hide the latency, few enough to stay
        F sums[kChains];
        for (F& sum : sums) sum = lanes::splat(0.0f);
        const F factor = lanes::splat(0.5f);
        for (int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 10
            for (F& sum : sums) sum = lanes::fma(sum, factor, factor);
        asm volatile("" : : "r"(sums) : "memory");  // somebody may look at them
        return rounds * kChains * 16;
    }

    static constexpr int words(int rows) { return rows * 16; }

    static Layer pack(const Matrix& matrix) {
        Layer layer;
        layer.rows = (matrix.rows + kRows - 1) / kRows * kRows;
        layer.cols = matrix.cols;
        layer.weights = Buffer<float>(static_cast<size_t>(layer.rows) * layer.cols);
        for (int r = 0; r < matrix.rows; ++r)
            for (int c = 0; c < matrix.cols; ++c)
                layer.weights[(static_cast<size_t>(r / kRows) * layer.cols + c) * kRows + r % kRows] =
                    matrix.at(r, c);
        return layer;
    }
    static Layer pack_outputs(const Matrix& matrix) { return pack(matrix); }

    static void layer(const Layer& w, const uint32_t* x, int x_words, int groups, uint32_t* y,
                      int y_words, Thread&) {
        auto write = [&](int g, int row, F value) {
            lanes::store(reinterpret_cast<float*>(y + g * y_words) + row * 16,
                         lanes::max(value, lanes::splat(0.0f)));
        };
        multiply(w, x, x_words, groups, write);
    }

    static void outputs(const Layer& w, const uint32_t* x, int x_words, int groups, float* out) {
        auto write = [&](int g, int row, F value) { lanes::store(out + (g * 8 + row) * 16, value); };
        multiply(w, x, x_words, groups, write);
    }
    static F output(const float* out, int chunk, int row) {
        return lanes::load(out + (chunk * 8 + row) * 16);
    }

    static void keep_pair(uint32_t* kept, int stride, F first, F second) {
        lanes::store(reinterpret_cast<float*>(kept), first);
        lanes::store(reinterpret_cast<float*>(kept) + stride, second);
    }
    static void fetch_pair(const uint32_t* kept, int stride, const lanes::I* ray, uint32_t* x, int row) {
        lanes::store(x + row * 16, lanes::gather(kept, *ray));
        lanes::store(x + row * 16 + 16, lanes::gather(kept + stride, *ray));
    }
    static void put_pair(uint32_t* x, int row, const F* first, const F* second) {
        float* rows = reinterpret_cast<float*>(x) + row * 16;
        lanes::store(rows, *first);
        lanes::store(rows + 16, *second);
    }

    static void look_up(const Tables& tables, const F point[][3], uint32_t* x, int row) {
        float* features = reinterpret_cast<float*>(x) + row * 16;
        look_up_pairs(tables, point[0], [&](int level, int plane, F feature, F next) {
            float* to = features + (plane * kLevels + level) * 16;
            lanes::store(to, feature);
            lanes::store(to + 16, next);
        });
    }

    // W · x for several groups; every sixteen results go to `write(group, row, values)`.
    template <typename Write>
    static void multiply(const Layer& w, const uint32_t* x, int x_words, int groups, Write write) {
        for (int row = 0; row < w.rows; row += kRows) {
            const float* weights = w.weights.get() + static_cast<size_t>(row) * w.cols;
            int g = 0;
            for (; g + kGroups <= groups; g += kGroups)
                block<kGroups>(weights, w.cols, x + g * x_words, x_words, g, row, write);
            for (; g < groups; ++g)
                block<1>(weights, w.cols, x + g * x_words, x_words, g, row, write);
        }
    }

  private:
    template <int N, typename Write>
    static inline void block(const float* weights, int cols, const uint32_t* x, int x_words, int g,
                             int row, Write write) {
        // All loops over the accumulators are unrolled, or they would live in memory.
        F sum[kRows][N];
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
            for (int n = 0; n < N; ++n) sum[r][n] = lanes::splat(0.0f);
        for (int c = 0; c < cols; ++c) {
            F in[N];
            for (int n = 0; n < N; ++n)
                in[n] = lanes::load(reinterpret_cast<const float*>(x + n * x_words) + c * 16);
#pragma GCC unroll 8
            for (int r = 0; r < kRows; ++r) {
                const F weight = lanes::splat(weights[c * kRows + r]);
#pragma GCC unroll 2
                for (int n = 0; n < N; ++n) sum[r][n] = lanes::fma(in[n], weight, sum[r][n]);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
            for (int n = 0; n < N; ++n) write(g + n, row + r, sum[r][n]);
    }
};
