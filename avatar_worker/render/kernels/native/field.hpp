// Evaluates samples: position and direction → opacity of a step, and colour.
#pragma once
#include "rays.hpp"
#include "stages.hpp"

// The first round takes up to two points of every ray of a tile.
constexpr int kFirstRound = 2;
constexpr int kLaterRounds = 1;
constexpr int kMaxSamples = kRaysPerTile * kFirstRound;

// The share in its pixel from which on a sample's colour is computed: a fortieth of a level of 255.
constexpr float kLeastShown = 1e-4f;

struct SampleList {
    alignas(64) int32_t ray[kMaxSamples];    // in the tile
    alignas(64) float point[kMaxSamples];    // number of the lattice point
    alignas(64) float through[kMaxSamples];  // transmittance of the ray before this round
    alignas(64) float alpha[kMaxSamples], red[kMaxSamples], green[kMaxSamples], blue[kMaxSamples];
    int count = 0;
};

constexpr int kBlockGroups = Network::kBlock / (16 * Network::kChunks);
constexpr int kOutputs = Network::kBlock * 16;

// What a thread needs to evaluate a block of samples. Zeroed once: rows that no layer writes meet
// zero weights, but must be finite. Small on purpose: it shares the first cache with the weights.
struct Activations {
    alignas(64) uint32_t density[kBlockGroups * Network::words(kInRows)];
    alignas(64) uint32_t color[kBlockGroups * Network::words(kColorRows)];
    alignas(64) uint32_t shape[kHarmonics][kRaysPerTile];  // harmonics of the tile's rays
    alignas(64) uint32_t hidden[kBlockGroups * Network::words(kHidden)];
    alignas(64) float sigma[kOutputs], outputs[kOutputs];
    alignas(64) int32_t shown[Network::kBlock], shown_ray[Network::kBlock];  // see Field::choose
};

// Real harmonics up to degree 3 of the direction as it is; the first row is 1 (see head.hpp).
inline void harmonics(const lanes::F* d, lanes::F* out) {
    using namespace lanes;
    const F x = d[0], y = d[1], z = d[2];
    const F xx = mul(x, x), yy = mul(y, y), zz = mul(z, z), xy = mul(x, y);
    const F difference = sub(xx, yy), one = splat(1.0f), three = splat(3.0f);
    const F fifth = sub(one, mul(splat(5.0f), zz));
    out[0] = one;
    out[1] = mul(splat(-0.48860251190291987f), y);
    out[2] = mul(splat(0.48860251190291987f), z);
    out[3] = mul(splat(-0.48860251190291987f), x);
    out[4] = mul(splat(1.0925484305920792f), xy);
    out[5] = mul(splat(-1.0925484305920792f), mul(y, z));
    out[6] = sub(mul(splat(0.94617469575755997f), zz), splat(0.31539156525251999f));
    out[7] = mul(splat(-1.0925484305920792f), mul(x, z));
    out[8] = mul(splat(0.54627421529603959f), difference);
    out[9] = mul(mul(splat(0.59004358992664352f), y), sub(yy, mul(three, xx)));
    out[10] = mul(mul(splat(2.8906114426405538f), xy), z);
    out[11] = mul(mul(splat(0.45704579946446572f), y), fifth);
    out[12] = mul(mul(splat(0.3731763325901154f), z), sub(mul(splat(5.0f), zz), three));
    out[13] = mul(mul(splat(0.45704579946446572f), x), fifth);
    out[14] = mul(mul(splat(1.4453057213202769f), z), difference);
    out[15] = mul(mul(splat(0.59004358992664352f), x), sub(mul(three, yy), xx));
}

class Field {
  public:
    Field(const Head& head, const Network::Layer& frame, Activations& activations, StageClock& clock)
        : head_(head), frame_(frame), a_(activations), clock_(clock) {}

    // Fills alpha and colour of all samples; the list is padded with copies of its last one.
    // Returns the samples evaluated.
    int evaluate(const Camera& camera, const RayTile& rays, SampleList& samples) {
        const int padded = (samples.count + 31) / 32 * 32;
        for (int i = samples.count; i < padded; ++i) {
            samples.ray[i] = samples.ray[samples.count - 1];
            samples.point[i] = samples.point[samples.count - 1];
            samples.through[i] = samples.through[samples.count - 1];
        }
        for (int first = 0; first < padded; first += Network::kBlock) {
            const int size = padded - first < Network::kBlock ? padded - first : Network::kBlock;
            const int groups = size / kGroup;
            for (int g = 0; g < groups; ++g) look_up(camera, rays, samples, first + g * kGroup, g);
            clock_.lap(kStageLookUp);
            density(groups);
            clock_.lap(kStageNetworks);
            for (int chunk = 0; chunk < size / 16; ++chunk)
                write_alpha(samples, first + chunk * 16, chunk);
            clock_.lap(kStageOutputs);
            if constexpr (Network::kChooses) {
                const int shown = choose(samples, first, groups);
                color(a_.shown_ray, (shown + 31) / 32 * 2);
                scatter_colors(samples, shown);
            } else {
                color(samples.ray + first, groups);
                for (int chunk = 0; chunk < size / 16; ++chunk)
                    write_colors(samples, first + chunk * 16, chunk);
            }
            clock_.lap(kStageOutputs);
        }
        return padded;
    }

    // The harmonics of a tile's rays; once for all their samples.
    void begin(const RayTile& rays) {
        using namespace lanes;
        for (int i = 0; i < rays.padded(); i += 16) {
            const F direction[3] = {load(rays.dx + i), load(rays.dy + i), load(rays.dz + i)};
            F values[kHarmonics];
            harmonics(direction, values);
            for (int k = 0; k < kHarmonics; k += 2)
                Network::keep_pair(a_.shape[k] + i, kRaysPerTile, values[k], values[k + 1]);
        }
    }

  private:
    static constexpr int kIn = Network::words(kInRows);
    static constexpr int kHid = Network::words(kHidden);
    static constexpr int kCol = Network::words(kColorRows);
    static constexpr int kGroup = 16 * Network::kChunks;

    void look_up(const Camera& camera, const RayTile& rays, const SampleList& samples, int first,
                 int g) {
        using namespace lanes;
        F point[Network::kChunks][3];
        for (int chunk = 0; chunk < Network::kChunks; ++chunk) {
            const I i = load(samples.ray + first + chunk * 16);
            const F direction[3] = {gather(rays.dx, i), gather(rays.dy, i), gather(rays.dz, i)};
            const F t = fma(load(samples.point + first + chunk * 16), splat(kStep),
                            gather(rays.near, i));
            for (int axis = 0; axis < 3; ++axis) {
                const F p = fma(t, direction[axis], splat(camera.pose[4 * axis + 3]));
                point[chunk][axis] = min(max(p, splat(-1.0f)), splat(1.0f));
            }
        }
        Network::look_up(head_.tables, point, a_.density + g * kIn, kFeatureRow);
    }

    // Leaves log densities in `sigma`, and the hidden layer that colours begin with in `color`.
    void density(int groups) {
        const uint32_t* features = a_.density + Network::words(kFeatureRow);
        Network::layer(head_.eye_attention_0, features, kIn, groups, a_.hidden, kHid, thread_);
        Network::outputs(head_.eye_attention_1, a_.hidden, kHid, groups, a_.outputs);
        for (int g = 0; g < groups; ++g) put_eyes(g);
        Network::layer(head_.audio_attention_0, features, kIn, groups, a_.density, kIn, thread_);
        Network::layer(frame_, a_.density, kIn, groups, a_.hidden, kHid, thread_);
        Network::layer(head_.sigma_1, a_.hidden, kHid, groups, a_.color, kCol, thread_);
        Network::outputs(head_.sigma, a_.color, kCol, groups, a_.sigma);
    }

    // Leaves colours in `outputs`.
    void color(const int32_t* ray, int groups) {
        for (int g = 0; g < groups; ++g) put_shape(ray + g * kGroup, g);
        clock_.lap(kStageLookUp);
        Network::layer(head_.color_0, a_.color, kCol, groups, a_.hidden, kHid, thread_);
        Network::outputs(head_.color_1, a_.hidden, kHid, groups, a_.outputs);
        clock_.lap(kStageNetworks);
    }

    // More than half of the samples lie in empty places or behind the face: they stay black. Brings
    // the columns of the others together in `color`, and their numbers and rays, and returns how
    // many there are. What stands behind them is left over from other samples.
    int choose(SampleList& samples, int first, int groups) {
        using namespace lanes;
        int count = 0;
        for (int g = 0; g < groups; ++g) {
            const int i = first + g * 16, to = count / 16;
            const F shown = mul(load(samples.alpha + i), load(samples.through + i));
            const Moved moved(less(splat(kLeastShown), shown), count % 16);
            const uint32_t* from = a_.color + g * kCol;
            uint32_t* column = a_.color + to * kCol;
            for (int row = 0; row < kHid; row += 16)
                moved.store(load(from + row), column + row, column + kCol + row);
            moved.store(add(splat_int(i), count_up()), a_.shown + 16 * to, a_.shown + 16 * to + 16);
            moved.store(load(samples.ray + i), a_.shown_ray + 16 * to, a_.shown_ray + 16 * to + 16);
            for (float* color : {samples.red, samples.green, samples.blue})
                store(color + i, splat(0.0f));
            count += moved.count();
        }
        return count;
    }

    void put_shape(const int32_t* rays, int g) {
        using namespace lanes;
        uint32_t* x = a_.color + g * kCol;
        I ray[Network::kChunks];
        F one[Network::kChunks], zero[Network::kChunks];
        for (int chunk = 0; chunk < Network::kChunks; ++chunk) {
            ray[chunk] = load(rays + chunk * 16);
            one[chunk] = splat(1.0f);
            zero[chunk] = splat(0.0f);
        }
        for (int k = 0; k < kHarmonics; k += 2)
            Network::fetch_pair(a_.shape[k], kRaysPerTile, ray, x, kHarmonicRow + k);
        Network::put_pair(x, kRestRow, one, zero);
    }

    void put_eyes(int g) {
        using namespace lanes;
        // Held finite: these rows stay in memory and later meet zero weights.
        const F most = splat(6e4f);
        for (int row = 0; row < head_.n_eye; row += 2) {
            F pair[2][Network::kChunks];
            for (int k = 0; k < 2; ++k)
                for (int chunk = 0; chunk < Network::kChunks; ++chunk) {
                    if (row + k >= head_.n_eye) {
                        pair[k][chunk] = splat(0.0f);
                        continue;
                    }
                    F v = Network::output(a_.outputs, g * Network::kChunks + chunk, row + k);
                    if (head_.eye_sigmoid) v = sigmoid(v);
                    pair[k][chunk] = max(min(v, most), sub(splat(0.0f), most));
                }
            Network::put_pair(a_.density + g * kIn, kEyeRow + row, pair[0], pair[1]);
        }
    }

    void write_alpha(SampleList& samples, int first, int chunk) {
        using namespace lanes;
        const F sigma = exp(Network::output(a_.sigma, chunk, 0));
        store(samples.alpha + first, sub(splat(1.0f), exp(mul(sigma, splat(-kStep)))));
    }

    // Colour `c` of sixteen samples.
    lanes::F color_of(int chunk, int c) const {
        using namespace lanes;
        return fma(sigmoid(Network::output(a_.outputs, chunk, c)), splat(1.002f), splat(-0.001f));
    }

    void write_colors(SampleList& samples, int first, int chunk) {
        float* colors[3] = {samples.red, samples.green, samples.blue};
        for (int c = 0; c < 3; ++c) lanes::store(colors[c] + first, color_of(chunk, c));
    }

    // To the samples they belong to.
    void scatter_colors(SampleList& samples, int shown) {
        float* colors[3] = {samples.red, samples.green, samples.blue};
        for (int i = 0; i < shown; i += 16)
            for (int c = 0; c < 3; ++c) {
                alignas(64) float values[16];
                lanes::store(values, color_of(i / 16, c));
                for (int k = 0; k < std::min(16, shown - i); ++k)
                    colors[c][a_.shown[i + k]] = values[k];
            }
    }

    const Head& head_;
    const Network::Layer& frame_;
    Activations& a_;
    StageClock& clock_;
    Network::Thread thread_;
};
