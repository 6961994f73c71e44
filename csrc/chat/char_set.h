#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pyollama::chat {

// A set of Unicode code points, as a character class of a regular expression means it.
class CharSet {
  public:
    static constexpr uint32_t max_code = 0x10FFFF;

    CharSet() = default;
    CharSet(std::initializer_list<std::pair<uint32_t, uint32_t>> ranges) : ranges_(ranges) {}

    void add(uint32_t low, uint32_t high) { ranges_.emplace_back(low, high); }
    void add(const CharSet & other) { ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end()); }

    CharSet complement() const;

    // Its code point if the set holds exactly one.
    std::optional<uint32_t> only() const;

    // A regular expression for one character of the set as JSON text writes it: a quote is \", a line end is \n.
    // Only what llama.cpp's converter understands is used. Empty when no such character exists.
    std::string json_regex() const;

  private:
    bool contains(uint32_t code) const;

    // Sorted, without overlap.
    std::vector<std::pair<uint32_t, uint32_t>> normalized() const;

    std::vector<std::pair<uint32_t, uint32_t>> ranges_;
};

} // namespace pyollama::chat
