// The weights' gradients with vector registers: eight rows of sums are held while all samples pass.
#pragma once
#include "activations.hpp"

// See Products::add_products.
template <typename P, typename Factors, typename BySample>
inline void add_in_registers(const Factors& y, int row, int rows, const BySample& x, int first, int cols,
                             float* sum) {
    using namespace lanes;
    constexpr int R = Network::kRows, V = Network::kGroups;
    auto block = [&]<int N>(int m, int k) {
        F total[R][N];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
            for (int v = 0; v < N; ++v) total[r][v] = load(sum + (m + r) * cols + k + v * 16);
        for (int s = 0; s < P::kRowsBySample; ++s) {
            decltype(x.load(0, 0)) in[N];
            for (int v = 0; v < N; ++v) in[v] = x.load(s, first + k + v * 16);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
                const auto factor = y(row + m + r, s);
#pragma GCC unroll 2
                for (int v = 0; v < N; ++v) total[r][v] = P::add_product(in[v], factor, total[r][v]);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
            for (int v = 0; v < N; ++v) store(sum + (m + r) * cols + k + v * 16, total[r][v]);
    };
    for (int m = 0; m < rows; m += R) {
        int k = 0;
        for (; k + 16 * V <= cols; k += 16 * V) block.template operator()<V>(m, k);
        for (; k < cols; k += 16) block.template operator()<1>(m, k);
    }
}
