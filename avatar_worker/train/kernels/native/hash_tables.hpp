// The three feature planes as a checkpoint stores them, so that they can be trained.
//
// A plane is one table of 12 levels after each other; small levels are square lattices, large
// ones share rows by hash. Looking up reads four corners a level; the gradient goes back to the
// same four rows.
#pragma once
#include "tables.hpp"

constexpr uint32_t kHashPrime = 2654435761u;

struct HashLevels {
    int32_t stride[kLevels];
    int32_t offset[kLevels];
    int32_t mask[kLevels];  // rows − 1 of a hashed level (a power of two), 0 for a lattice
    float scale[kLevels];
    int32_t plane_rows;
};

// Rows and shares of the four corners of sixteen points in one plane and level.
struct Corners {
    lanes::I row[4];  // (0, 0), (1, 0), (0, 1), (1, 1)
    lanes::F first, second;

    Corners(const HashLevels& levels, int level, lanes::F a, lanes::F b) {
        using namespace lanes;
        const F half = splat(levels.scale[level] * 0.5f), middle = splat(levels.scale[level] * 0.5f + 0.5f);
        const F p0 = fma(a, half, middle), p1 = fma(b, half, middle);
        const F c0 = floor(p0), c1 = floor(p1);
        first = sub(p0, c0);
        second = sub(p1, c1);
        const I q0 = to_int(c0), q1 = to_int(c1), one = splat_int(1);
        if (levels.mask[level] != 0) {
            const I prime = splat_int(static_cast<int>(kHashPrime)), mask = splat_int(levels.mask[level]);
            const I near = mul(q1, prime), far = add(near, prime), next = add(q0, one);
            row[0] = bit_and(bit_xor(q0, near), mask);
            row[1] = bit_and(bit_xor(next, near), mask);
            row[2] = bit_and(bit_xor(q0, far), mask);
            row[3] = bit_and(bit_xor(next, far), mask);
        } else {
            const I stride = splat_int(levels.stride[level]);
            row[0] = add(mul(q1, stride), q0);
            row[1] = add(row[0], one);
            row[2] = add(row[0], stride);
            row[3] = add(row[2], one);
        }
    }
};

// Features of sixteen points to 36 rows of sixteen floats.
inline void look_up(const HashLevels& levels, const float* tables, const lanes::F point[3], float* rows) {
    using namespace lanes;
    for (int plane = 0; plane < kPlanes; ++plane)
        for (int level = 0; level < kLevels; ++level) {
            const Corners c(levels, level, point[kFirstAxis[plane]], point[kSecondAxis[plane]]);
            const float* table =
                tables + static_cast<int64_t>(plane) * levels.plane_rows + levels.offset[level];
            const F v00 = gather(table, c.row[0]), v10 = gather(table, c.row[1]);
            const F v01 = gather(table, c.row[2]), v11 = gather(table, c.row[3]);
            const F low = fma(sub(v10, v00), c.first, v00), high = fma(sub(v11, v01), c.first, v01);
            store(rows + (plane * kLevels + level) * 16, fma(sub(high, low), c.second, low));
        }
}

// Adds the gradients of sixteen points in one plane and level to the rows they came from. The
// caller owns the level: no other thread adds to it, and the order of additions is fixed.
inline void scatter(const HashLevels& levels, int plane, int level, const lanes::F point[3],
                    lanes::F gradient, float* gradients) {
    using namespace lanes;
    const Corners c(levels, level, point[kFirstAxis[plane]], point[kSecondAxis[plane]]);
    float* table = gradients + static_cast<int64_t>(plane) * levels.plane_rows + levels.offset[level];
    const F far = mul(gradient, c.second), near = sub(gradient, far);
    const F near1 = mul(near, c.first), far1 = mul(far, c.first);
    alignas(64) float value[4][16];
    alignas(64) uint32_t row[4][16];
    store(value[0], sub(near, near1));
    store(value[1], near1);
    store(value[2], sub(far, far1));
    store(value[3], far1);
    for (int corner = 0; corner < 4; ++corner) store(row[corner], c.row[corner]);
    for (int corner = 0; corner < 4; ++corner)
        for (int lane = 0; lane < 16; ++lane) table[row[corner][lane]] += value[corner][lane];
}
