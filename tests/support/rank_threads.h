#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "unroll/ranks.h"

namespace unroll {

/// A port of this machine that is free now.
inline int64_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  const bool is_found = bind(socket, any, size) == 0 && getsockname(socket, any, &size) == 0;
  close(socket);
  if (!is_found) {
    throw std::runtime_error("no port is free");
  }
  return ntohs(address.sin_port);
}

/// Runs `work` for each rank of so many, on threads of this process. Throws what the first of them
/// that failed threw.
inline void run_together(int64_t world, const std::function<void(int64_t)>& work) {
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(world));
  std::vector<std::thread> threads;
  threads.reserve(failures.size());
  for (int64_t rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        work(rank);
      } catch (...) {
        failures[static_cast<std::size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  for (const auto& failure : failures) {
    if (failure) {
      std::rethrow_exception(failure);
    }
  }
}

/// Runs `work` as each of so many ranks, which meet as processes do.
inline void run_ranks(int64_t world, const std::function<void(std::shared_ptr<Ranks>)>& work,
                      double timeout = 60) {
  const auto port = free_port();
  run_together(world, [&](int64_t rank) {
    work(join_ranks({.rank = rank, .world = world, .port = port, .timeout = timeout}));
  });
}

}  // namespace unroll
