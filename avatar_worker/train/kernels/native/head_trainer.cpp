// Trains SyncTalk heads on the CPU: one step's rays, forward and backward, in one call.
//
// A tile is up to 256 rays of one frame. It is marched, its samples are looked up and sent through
// the networks (nothing stored), the rays' losses say how the logits should change, and the
// samples that carry weight are computed again, forward and backward: that is cheaper than
// keeping their activations. Feature gradients wait in memory until all tiles are done; then every
// level of every plane is one thread's, which needs no atomics.
//
// Results do not depend on timing: tile i is thread (i mod threads)'s, and sums are added in the
// order of threads and tiles.
#include <atomic>
#include <system_error>
#include <thread>

#include "ray_loss.hpp"
#include "trained_field.hpp"

// Twin of `_Step` in cpu.py. All arrays are the caller's.
struct Step {
    HashLevels levels;
    NetworkSource networks;
    const float* tables;        // [3][plane_rows]
    const uint32_t* occupancy;  // [128][128][4]
    const float* poses;         // [n_frames][16], camera to world
    float fx, fy, cx, cy;
    int32_t height, width;
    float aabb[6];
    // rays, all of a frame after each other, in tiles of up to 256
    const int32_t* pixel;      // [n_rays]
    const float* jitter;       // [n_rays], start in steps
    const float* target;       // [n_rays][3]
    const float* background;   // [n_rays][3]
    const float* further;      // [n_rays][3] gradient with respect to the colours, or null
    float* drawn;              // [n_rays][3] receives the colours, or null
    const int32_t* tile_first; // [n_tiles]
    const int32_t* tile_rays;  // [n_tiles]
    const int32_t* tile_frame; // [n_tiles]
    int32_t n_rays, n_tiles, cap, threads;
    LossWeights loss;
    // samples that were trained: tile i has kept[i] of them from column i · slots on
    float* position;          // [3][n_tiles · slots]
    float* feature_gradient;  // [36][n_tiles · slots]
    int32_t* ray;             // [n_tiles · slots], number in the step
    int32_t* kept;            // [n_tiles]
    int32_t slots;            // 256 · cap, a multiple of 64
    // gradients, added to
    float* grad_tables;     // [3][plane_rows]
    float* grad_attention;  // as in NetworkSource
    float* grad_features;
    float* grad_density_1;
    float* grad_sigma;
    float* grad_color_0;
    float* grad_color_1;
    float* grad_hidden;
    // results
    double color_loss, entropy, distortion, opaque;  // sums over rays; rays with W > 0.99
    int64_t evaluated, used;
};

namespace {

constexpr int kMostSamples = kRaysPerTile * kTrainCap;

struct TrainScratch {
    RayTile rays;
    TrainActivations activations;
    int32_t first[kRaysPerTile], count[kRaysPerTile];
    alignas(64) int32_t ray[kMostSamples + 64];
    alignas(64) float t[kMostSamples + 64];
    alignas(64) float position[3][kMostSamples + 64];
    alignas(64) float logits[kLogits * (kMostSamples + 64)];
    alignas(64) float gradients[kLogits * (kMostSamples + 64)];
    uint8_t keep[kMostSamples + 64];
};
constexpr int kStride = kMostSamples + 64;

// One thread's part of a step.
class Worker {
  public:
    Worker(const Step& step, const TrainedNetworks& networks)
        : gradients(step.networks.n_frames),
          step_(step),
          scratch_(1),
          s_(scratch_[0]),
          field_(step.levels, step.tables, networks, scratch_[0].activations) {}

    void run(int tile) {
        const int n = trace(tile);
        evaluated += n;
        evaluate(tile, n);
        lose(tile);
        train(tile, n);
    }

    NetworkGradients gradients;
    RayResult total;
    double opaque = 0;
    int64_t evaluated = 0, used = 0;

  private:
    // Rays of the tile and their first `cap` occupied lattice points. Returns their number.
    int trace(int tile) {
        Camera camera;
        std::memcpy(camera.pose, step_.poses + 16 * step_.tile_frame[tile], sizeof camera.pose);
        camera.fx = step_.fx;
        camera.fy = step_.fy;
        camera.cx = step_.cx;
        camera.cy = step_.cy;
        camera.height = step_.height;
        camera.width = step_.width;
        RayTile& rays = s_.rays;
        rays.count = step_.tile_rays[tile];
        const int start = step_.tile_first[tile];
        for (int i = 0; i < rays.count; ++i) rays.pixel[i] = step_.pixel[start + i];
        make_rays(camera, step_.aabb, nullptr, rays);
        for (int i = 0; i < rays.count; ++i) rays.near[i] += kStep * step_.jitter[start + i];
        march(camera, step_.occupancy, nullptr, rays);
        int n = 0;
        for (int i = 0; i < rays.count; ++i) {
            s_.first[i] = n;
            uint64_t low = rays.low[i], high = rays.high[i];
            while (n - s_.first[i] < step_.cap && (low | high) != 0) {
                uint64_t& part = low != 0 ? low : high;
                const int point = __builtin_ctzll(part) + (low != 0 ? 0 : 64);
                part &= part - 1;
                s_.ray[n] = i;
                s_.t[n] = rays.near[i] + static_cast<float>(point) * kStep;
                place(n++, i, camera.pose);
            }
            s_.count[i] = n - s_.first[i];
        }
        for (int k = n; k < (n + 63) / 64 * 64; ++k) {
            s_.ray[k] = 0;
            for (auto& axis : s_.position) axis[k] = 0.0f;
        }
        return n;
    }
    void place(int k, int i, const float* pose) {
        const float direction[3] = {s_.rays.dx[i], s_.rays.dy[i], s_.rays.dz[i]};
        for (int axis = 0; axis < 3; ++axis)
            s_.position[axis][k] =
                std::clamp(pose[4 * axis + 3] + s_.t[k] * direction[axis], -1.0f, 1.0f);
    }

    void forward(int tile, const float* const position[3], const int32_t* ray) {
        alignas(64) float direction[3][kTrainBlock];
        for (int k = 0; k < kTrainBlock; ++k) {
            direction[0][k] = s_.rays.dx[ray[k]];
            direction[1][k] = s_.rays.dy[ray[k]];
            direction[2][k] = s_.rays.dz[ray[k]];
        }
        const float* const directions[3] = {direction[0], direction[1], direction[2]};
        field_.forward(step_.tile_frame[tile], position, directions);
    }

    void evaluate(int tile, int n) {
        for (int k = 0; k < n; k += kTrainBlock) {
            const float* const position[3] = {s_.position[0] + k, s_.position[1] + k, s_.position[2] + k};
            forward(tile, position, s_.ray + k);
            for (int g = 0; g < kTrainGroups; ++g)
                for (int c = 0; c < kLogits; ++c)
                    lanes::store(s_.logits + c * kStride + k + g * 16, field_.logit(g, c));
        }
    }

    void lose(int tile) {
        const int start = step_.tile_first[tile];
        for (int i = 0; i < s_.rays.count; ++i) {
            const RayResult ray = ray_loss(
                step_.loss, s_.logits, s_.gradients, kStride, s_.first[i], s_.count[i],
                s_.t + s_.first[i], step_.target + 3 * (start + i),
                step_.background + 3 * (start + i),
                step_.further == nullptr ? nullptr : step_.further + 3 * (start + i),
                step_.drawn == nullptr ? nullptr : step_.drawn + 3 * (start + i), s_.keep);
            total.color_loss += ray.color_loss;
            total.entropy += ray.entropy;
            total.distortion += ray.distortion;
            used += ray.used;
            opaque += ray.weight > 0.99f;
        }
    }

    // Samples that carry weight, compacted, forward and backward.
    void train(int tile, int n) {
        const int64_t base = static_cast<int64_t>(tile) * step_.slots;
        const int64_t stride = static_cast<int64_t>(step_.n_tiles) * step_.slots;
        int kept = 0;
        for (int k = 0; k < n; ++k) {
            if (!s_.keep[k]) continue;
            for (int axis = 0; axis < 3; ++axis)
                step_.position[axis * stride + base + kept] = s_.position[axis][k];
            step_.ray[base + kept] = step_.tile_first[tile] + s_.ray[k];
            s_.ray[kept] = s_.ray[k];
            for (int c = 0; c < kLogits; ++c)
                s_.gradients[c * kStride + kept] = s_.gradients[c * kStride + k];
            ++kept;
        }
        step_.kept[tile] = kept;
        for (int k = kept; k < (kept + 63) / 64 * 64; ++k) {
            for (int axis = 0; axis < 3; ++axis) step_.position[axis * stride + base + k] = 0.0f;
            s_.ray[k] = 0;
            for (int c = 0; c < kLogits; ++c) s_.gradients[c * kStride + k] = 0.0f;
        }
        for (int k = 0; k < kept; k += kTrainBlock) {
            const float* const position[3] = {step_.position + base + k,
                                              step_.position + stride + base + k,
                                              step_.position + 2 * stride + base + k};
            forward(tile, position, s_.ray + k);
            const float* const gradient[kLogits] = {s_.gradients + k, s_.gradients + kStride + k,
                                                    s_.gradients + 2 * kStride + k,
                                                    s_.gradients + 3 * kStride + k};
            field_.backward(step_.tile_frame[tile], gradient, gradients);
            for (int feature = 0; feature < kFeatures; ++feature)
                for (int g = 0; g < kTrainGroups; ++g)
                    lanes::store(step_.feature_gradient + feature * stride + base + k + g * 16,
                                 field_.feature_gradient(g, feature));
        }
    }

    const Step& step_;
    Buffer<TrainScratch> scratch_;
    TrainScratch& s_;
    TrainedField field_;
};

template <typename Work>
void in_threads(int threads, Work part) {
    auto work = [&](int i) {
        const lanes::NoDenormals no_denormals;
        const Products::Thread products;
        part(i);
    };
    std::vector<std::thread> helpers;
    for (int i = 1; i < threads; ++i) {
        try {
            helpers.emplace_back([&work, i] { work(i); });
        } catch (const std::system_error&) {  // no more threads to be had
            work(i);
        }
    }
    work(0);
    for (std::thread& helper : helpers) helper.join();
}

// Every level of every plane adds up its own gradients, in the order of the samples.
void scatter_all(const HashLevels& levels, const float* position, const float* gradient,
                 int64_t stride, const int32_t* counts, int n_parts, int64_t part, float* sums,
                 int threads) {
    std::atomic<int> next{0};
    in_threads(threads, [&](int) {
        for (int unit; (unit = next.fetch_add(1)) < kFeatures;)
            for (int i = 0; i < n_parts; ++i)
                for (int k = 0; k < counts[i]; k += 16) {
                    const float* p = position + i * part + k;
                    const lanes::F point[3] = {lanes::load(p), lanes::load(p + stride),
                                               lanes::load(p + 2 * stride)};
                    scatter(levels, unit / kLevels, unit % kLevels, point,
                            lanes::load(gradient + unit * stride + i * part + k), sums);
                }
    });
}

void add_gradients(const NetworkGradients& from, const Step& step) {
    auto add = [](const Buffer<float>& source, int rows, int cols, int source_cols, int skip, float* to) {
        for (int r = 0; r < rows; ++r)
            for (int c = 0; c < cols; ++c)
                to[r * cols + c] += source.get()[r * source_cols + skip + c];
    };
    add(from.attention, kAttention, kFeatures, kPaddedFeatures, 0, step.grad_attention);
    add(from.density_1, kHidden, kHidden, kHidden, 0, step.grad_density_1);
    add(from.color_0, kHidden, kColorIn, kColorIn, 0, step.grad_color_0);
    add(from.sigma, 1, kHidden, kHidden, 0, step.grad_sigma);
    add(from.color_1, 3, kHidden, kHidden, kHidden, step.grad_color_1);
    for (size_t frame = 0; frame < from.density_0.size(); ++frame) {
        add(from.density_0[frame], kHidden, kFeatures, kTrainIn, kAttention, step.grad_features);
        add(from.density_0[frame], kHidden, kAttention, kTrainIn, 0,
            step.grad_hidden + frame * kHidden * kAttention);
    }
}

}  // namespace

#define AVATAR_EXPORT __attribute__((visibility("default")))

extern "C" {

AVATAR_EXPORT int avatar_trainer_abi() { return 2; }

// 0 when this process may use the instructions the library was built for.
AVATAR_EXPORT int avatar_trainer_prepare() {
#if defined(AVATAR_TRAIN_TILES)
    return request_tiles() ? 0 : 1;
#else
    return 0;
#endif
}

// 0, or 1 when there is no memory.
AVATAR_EXPORT int avatar_train_step(Step* step) {
    try {
        const TrainedNetworks networks(step->networks);
        std::vector<std::unique_ptr<Worker>> workers;
        for (int i = 0; i < step->threads; ++i)
            workers.push_back(std::make_unique<Worker>(*step, networks));
        in_threads(step->threads, [&](int i) {
            for (int tile = i; tile < step->n_tiles; tile += step->threads) workers[i]->run(tile);
        });
        step->color_loss = step->entropy = step->distortion = step->opaque = 0;
        step->evaluated = step->used = 0;
        for (const auto& worker : workers) {
            add_gradients(worker->gradients, *step);
            step->color_loss += worker->total.color_loss;
            step->entropy += worker->total.entropy;
            step->distortion += worker->total.distortion;
            step->opaque += worker->opaque;
            step->evaluated += worker->evaluated;
            step->used += worker->used;
        }
        scatter_all(step->levels, step->position, step->feature_gradient,
                    static_cast<int64_t>(step->n_tiles) * step->slots, step->kept, step->n_tiles,
                    step->slots, step->grad_tables, step->threads);
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}

// Log densities of n points (a multiple of 64) in frame 0 of the networks. position [3][n]
AVATAR_EXPORT int avatar_train_density(const HashLevels* levels, const NetworkSource* source,
                                       const float* tables, const float* position, int64_t n,
                                       float* out, int32_t threads) {
    try {
        const TrainedNetworks networks(*source);
        std::atomic<int64_t> next{0};
        in_threads(threads, [&](int) {
            Buffer<TrainActivations> activations(1);
            TrainedField field(*levels, tables, networks, activations[0]);
            alignas(64) float zero[kTrainBlock] = {};
            const float* const directions[3] = {zero, zero, zero};
            for (int64_t k; (k = next.fetch_add(kTrainBlock)) < n;) {
                const float* const points[3] = {position + k, position + n + k, position + 2 * n + k};
                field.forward(0, points, directions);
                for (int g = 0; g < kTrainGroups; ++g)
                    lanes::store(out + k + g * 16, field.logit(g, 0));
            }
        });
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}

// Features [36][n] of n points (a multiple of 16), position [3][n].
AVATAR_EXPORT void avatar_train_features(const HashLevels* levels, const float* tables,
                                         const float* position, int64_t n, float* out) {
    alignas(64) float rows[kFeatures * 16];
    for (int64_t k = 0; k < n; k += 16) {
        const lanes::F point[3] = {lanes::load(position + k), lanes::load(position + n + k),
                                   lanes::load(position + 2 * n + k)};
        look_up(*levels, tables, point, rows);
        for (int f = 0; f < kFeatures; ++f) std::memcpy(out + f * n + k, rows + f * 16, 64);
    }
}

// Adds the gradients [36][n] of features to the tables'.
AVATAR_EXPORT void avatar_train_scatter(const HashLevels* levels, const float* position,
                                        const float* gradient, int64_t n, float* sums, int32_t threads) {
    const int32_t count = static_cast<int32_t>(n);
    scatter_all(*levels, position, gradient, n, &count, 1, n, sums, threads);
}

// One step of AdamW without first moment; clears the gradients. `correction` = 1 / √(1 − β₂ᵏ).
AVATAR_EXPORT void avatar_train_adam(float* values, float* gradients, float* squares, int64_t n,
                                     float rate, float decay, float beta, float correction) {
    const lanes::NoDenormals no_denormals;
    constexpr float kEps = 1e-8f;
    const float keep = 1.0f - rate * decay;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
        const float g = gradients[i], square = beta * squares[i] + (1.0f - beta) * g * g;
        squares[i] = square;
        values[i] = values[i] * keep - rate * g / (std::sqrt(square) * correction + kEps);
        gradients[i] = 0.0f;
    }
}
}
