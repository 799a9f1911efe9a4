// Where a thread's time goes. Counts only in a library built with AVATAR_STAGES, which the bench
// command builds for itself: reading the clock costs the others nothing.
#pragma once
#include <cstdint>

#if defined(AVATAR_STAGES)
#include <immintrin.h>
#endif

enum Stage { kStageRays, kStageList, kStageLookUp, kStageNetworks, kStageOutputs, kStageSums, kStages };

struct StageClock {
    int64_t ticks[kStages] = {};

#if defined(AVATAR_STAGES)
    void start() { last_ = static_cast<int64_t>(__rdtsc()); }
    // What passed since the last call belongs to `stage`.
    void lap(Stage stage) {
        const int64_t now = static_cast<int64_t>(__rdtsc());
        ticks[stage] += now - last_;
        last_ = now;
    }

  private:
    int64_t last_ = 0;
#else
    void start() {}
    void lap(Stage) {}
#endif
};
