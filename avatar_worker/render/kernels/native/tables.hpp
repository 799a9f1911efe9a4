// The three feature planes: twelve square lattices each, laid out without hashing.
//
// An entry of a lattice point holds four half-precision numbers: the value of the point and of its
// neighbour along the first coordinate (lower word), and the same one step further along the second
// (upper word). One look-up per plane and level brings all four corners of a cell.
#pragma once
#include "lanes.hpp"
#include "memory.hpp"

constexpr int kPlanes = 3;
constexpr int kLevels = 12;
constexpr int kFeatures = kPlanes * kLevels;

struct Tables {
    Buffer<uint64_t> corners[kPlanes];
    int start[kLevels];
    int stride[kLevels];
    float half_scale[kLevels];  // half the lattice spacings of a side
};

// First and second coordinate of the planes xy, yz and xz.
constexpr int kFirstAxis[kPlanes] = {0, 1, 0};
constexpr int kSecondAxis[kPlanes] = {1, 2, 2};

// Where sixteen points lie in the lattice of one level.
struct Cells {
    lanes::F corner[3], share[3];

    Cells(const Tables& tables, int level, const lanes::F point[3]) {
        const lanes::F scale = lanes::splat(tables.half_scale[level]);
        const lanes::F middle = lanes::splat(tables.half_scale[level] + 0.5f);
        for (int axis = 0; axis < 3; ++axis) {
            const lanes::F position = lanes::fma(point[axis], scale, middle);
            corner[axis] = lanes::floor(position);
            share[axis] = lanes::sub(position, corner[axis]);
        }
    }

    // Entry of the corner in one plane; exact, since lattices have fewer than 2²⁴ points.
    lanes::I index(const Tables& tables, int level, int plane) const {
        const lanes::F stride = lanes::splat(static_cast<float>(tables.stride[level]));
        return lanes::to_int(
            lanes::fma(corner[kSecondAxis[plane]], stride, corner[kFirstAxis[plane]]));
    }

    // The cells' values on the near and the far side along the second coordinate.
    void gather(const Tables& tables, int level, int plane, lanes::I& near, lanes::I& far) const {
        const uint64_t* table = tables.corners[plane].get() + tables.start[level];
        lanes::gather_entries(table, index(tables, level, plane), near, far);
    }

    // The feature, in float32.
    lanes::F mix(const Tables& tables, int level, int plane) const {
        using namespace lanes;
        I near, far;
        gather(tables, level, plane, near, far);
        const F along = share[kSecondAxis[plane]];
        const F n0 = lower_half(near), n1 = upper_half(near);
        const F low = fma(sub(lower_half(far), n0), along, n0);
        const F high = fma(sub(upper_half(far), n1), along, n1);
        return fma(sub(high, low), share[kFirstAxis[plane]], low);
    }
};
