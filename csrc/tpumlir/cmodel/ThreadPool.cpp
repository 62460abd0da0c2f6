#include "tpumlir/cmodel/ThreadPool.h"

#include <algorithm>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace tpumlir::cmodel {

#if defined(__x86_64__)
FlushDenormals::FlushDenormals() : saved(_mm_getcsr()) {
  constexpr unsigned kDefaultMasks = 0x1F80, kFlush = 0x8000, kDaz = 0x0040;
  _mm_setcsr(kDefaultMasks | kFlush | kDaz);
}
FlushDenormals::~FlushDenormals() { _mm_setcsr(saved); }
#else
#error "the simulator states its float arithmetic for x86-64"
#endif

ThreadPool::ThreadPool(unsigned threads) {
  if (threads == 0)
    threads = std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 1; i < threads; ++i)
    workers.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex);
    stopping = true;
  }
  wake.notify_all();
  for (std::thread &worker : workers)
    worker.join();
}

void ThreadPool::parallelFor(size_t n, const std::function<void(size_t)> &f) {
  if (workers.empty() || n < 2) {
    for (size_t i = 0; i < n; ++i)
      f(i);
    return;
  }
  std::unique_lock lock(mutex);
  body = &f;
  count = n;
  next = 0;
  ++generation;
  wake.notify_all();
  ++running;
  while (next < count) {
    size_t i = next++;
    lock.unlock();
    f(i);
    lock.lock();
  }
  --running;
  done.wait(lock, [this] { return running == 0; });
  body = nullptr;
  count = 0;
}

void ThreadPool::work() {
  FlushDenormals mode;
  uint64_t seen = 0;
  std::unique_lock lock(mutex);
  while (true) {
    wake.wait(lock, [&] { return stopping || generation != seen; });
    if (stopping)
      return;
    seen = generation;
    if (!body)
      continue;
    ++running;
    while (next < count) {
      size_t i = next++;
      lock.unlock();
      (*body)(i);
      lock.lock();
    }
    if (--running == 0)
      done.notify_all();
  }
}

} // namespace tpumlir::cmodel
