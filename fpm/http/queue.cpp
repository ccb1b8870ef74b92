#include "fpm/http/queue.hpp"

#include <algorithm>

namespace fpm::http {

void Queue::limit(std::size_t places, std::size_t longest, Milliseconds oldest) {
  places_ = std::max<std::size_t>(places, 1);
  longest_ = longest;
  oldest_ = oldest;
}

Queue::Answer Queue::enter(Ticket ticket, Clock::time_point now) {
  if (waiting_.empty() && taken_ < places_) {
    ++taken_;
    return Answer::start;
  }
  if (waiting_.size() >= longest_) return Answer::full;
  waiting_.push_back({ticket, now});
  return Answer::wait;
}

bool Queue::leave(Ticket ticket) {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                  [&](const Waiting& one) { return one.ticket == ticket; });
  if (found == waiting_.end()) return false;
  waiting_.erase(found);
  return true;
}

void Queue::release() { --taken_; }

Queue::Ticket Queue::next() {
  if (waiting_.empty() || taken_ >= places_) return 0;
  const Ticket ticket = waiting_.front().ticket;
  waiting_.pop_front();
  ++taken_;
  return ticket;
}

std::vector<Queue::Ticket> Queue::expire(Clock::time_point now) {
  std::vector<Ticket> expired;
  if (oldest_.count() == 0) return expired;
  while (!waiting_.empty() && now - waiting_.front().since >= oldest_) {
    expired.push_back(waiting_.front().ticket);
    waiting_.pop_front();
  }
  return expired;
}

}  // namespace fpm::http
