#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tpumlir::cmodel {

/// Denormals are zero and results are flushed to zero, as on the chip (N2), for
/// the life of the object and the thread that made it.
class FlushDenormals {
public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals &) = delete;
  FlushDenormals &operator=(const FlushDenormals &) = delete;

private:
  unsigned saved;
};

/// A fixed set of threads that share loops with the caller.
///
/// The work of an index never depends on the thread that runs it, so results
/// are the same whatever the number of threads.
class ThreadPool {
public:
  /// `threads` counts the caller; 0 takes the number of processors.
  explicit ThreadPool(unsigned threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

  unsigned threads() const { return unsigned(workers.size()) + 1; }

  /// Calls body(i) once for every i in [0, count); returns when all are done.
  /// `body` must not throw and must not call parallelFor.
  void parallelFor(size_t count, const std::function<void(size_t)> &body);

private:
  void work();

  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable wake, done;
  const std::function<void(size_t)> *body = nullptr;
  size_t count = 0, next = 0, running = 0;
  uint64_t generation = 0;
  bool stopping = false;
};

} // namespace tpumlir::cmodel
