#include "fpm/log/output_lines.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using fpm::log::kEndOfRequest;
using fpm::log::OutputLines;
using fpm::log::OutputPart;

namespace {

using Texts = std::vector<std::string>;
enum class Last { nothing, flush, close };

constexpr std::size_t kRoom = 512;

/// What comes out of `input`, fed in pieces of `piece` bytes.
Texts texts_of(std::string_view input, Last last, bool decorated, std::size_t piece,
               std::size_t room = kRoom) {
  Texts texts;
  const auto emit = [&](std::string_view text, OutputPart) { texts.emplace_back(text); };
  OutputLines lines(123, "stderr", decorated);
  for (std::size_t at = 0; at < input.size(); at += piece) {
    lines.feed(input.substr(at, piece), {room}, emit);
  }
  if (last == Last::flush) lines.flush({room}, emit);
  if (last == Last::close) lines.close({room}, emit);
  return texts;
}

std::string said(std::string_view data) {
  return "child 123 said into stderr: \"" + std::string(data) + "\"";
}

/// How much data a decorated text of kRoom takes.
const std::size_t kFits = kRoom - said("").size();

}  // namespace

TEST_CASE("worker output becomes php-fpm's texts, however it is cut into pieces") {
  const std::string end(kEndOfRequest);
  const std::string full(kFits, 'x');
  const std::string nul(1, '\0');
  struct Row {
    std::string input;
    Last last;
    Texts texts;
  };
  const std::vector<Row> rows = {
      {"", Last::close, {}},
      {"a\n", Last::nothing, {said("a")}},
      {"a\nb\n", Last::close, {said("a"), said("b")}},
      {"a\n\nb\n\n\n", Last::nothing, {said("a"), said("b")}},
      {"held", Last::nothing, {}},
      {"held", Last::flush, {said("held")}},
      {"held", Last::close, {said("held") + ", pipe is closed"}},
      {"a\nheld", Last::close, {said("a"), said("held") + ", pipe is closed"}},
      {"one \"two\" three\t\x01\r\n", Last::nothing, {said("one \"two\" three\t\x01\r")}},
      // The end of a request.
      {"no newline" + end, Last::nothing, {said("no newline")}},
      {end + end, Last::nothing, {}},
      {"a" + end + "b\n" + end + "c", Last::flush, {said("a"), said("b"), said("c")}},
      {"a\n" + end, Last::close, {said("a")}},
      // Almost one.
      {"x" + nul + "fscg" + nul + "\ty\n" + nul + "\n",
       Last::nothing,
       {said("x" + nul + "fscg" + nul + "\ty"), said(nul)}},
      {nul + nul + "fscf" + nul + "z\n", Last::nothing, {said(nul), said("z")}},
      {nul + "fs" + end + "z\n", Last::nothing, {said(nul + "fs"), said("z")}},
      {nul + "fscf\n", Last::nothing, {said(nul + "fscf")}},
      {nul + "fsc", Last::flush, {said(nul + "fsc")}},
      {nul + "fsc", Last::close, {said(nul + "fsc") + ", pipe is closed"}},
      // Wrapping.
      {full + "\n", Last::nothing, {said(full)}},
      {full, Last::nothing, {}},
      {full + "y", Last::nothing, {said(full)}},
      {full + "y\n", Last::nothing, {said(full), said("y")}},
      {full + full + "y" + end, Last::nothing, {said(full), said(full), said("y")}},
      {full + nul + "fsc!\n", Last::nothing, {said(full), said(nul + "fsc!")}},
      {full, Last::flush, {said(full)}},
      // The note of the close has to fit as well.
      {full, Last::close, {said(full.substr(16)), said(std::string(16, 'x')) + ", pipe is closed"}},
      {full.substr(15), Last::close, {said(full.substr(16)), said("x") + ", pipe is closed"}},
      {full.substr(16), Last::close, {said(full.substr(16)) + ", pipe is closed"}},
  };
  for (const Row& row : rows) {
    INFO(row.input);
    for (std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{5}, std::size_t{4096}}) {
      const Texts texts = texts_of(row.input, row.last, true, piece);
      CHECK(texts == row.texts);
      for (const std::string& text : texts) CHECK(text.size() <= kRoom);
    }
  }
}

TEST_CASE("undecorated, the bytes come out alone") {
  const std::string full(kRoom, 'x');
  struct Row {
    std::string input;
    Last last;
    Texts texts;
  };
  const std::vector<Row> rows = {
      {"{\"json\": true}\n", Last::nothing, {"{\"json\": true}"}},
      {"a\n\nb" + std::string(kEndOfRequest) + "c", Last::close, {"a", "b", "c"}},
      {full + "\n", Last::nothing, {full}},
      {full + full + "y\n", Last::close, {full, full, "y"}},
      {full, Last::close, {full}},
  };
  for (const Row& row : rows) {
    INFO(row.input);
    for (std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{4096}}) {
      CHECK(texts_of(row.input, row.last, false, piece) == row.texts);
    }
  }
}

TEST_CASE("no byte of a line is lost or doubled, at any limit") {
  std::string line;
  for (int i = 0; i < 5000; ++i) line += static_cast<char>('!' + i * 7 % 90);
  for (const std::size_t room : {200u, 512u, 1000u, 4999u, 5000u, 5001u, 9000u}) {
    for (const bool decorated : {true, false}) {
      std::string together;
      for (const std::string& text : texts_of(line + "\n", Last::nothing, decorated, 100, room)) {
        CHECK(text.size() <= room);
        const std::size_t head = decorated ? said("").size() - 1 : 0;
        together += text.substr(head, text.size() - head - (decorated ? 1 : 0));
      }
      CHECK(together == line);
    }
  }
}

TEST_CASE("a limit that is lowered while output is held cuts nothing") {
  Texts texts;
  const auto emit = [&](std::string_view text, OutputPart) { texts.emplace_back(text); };
  OutputLines lines(123, "stderr");
  lines.feed(std::string(1000, 'x'), {2000}, emit);
  CHECK(texts.empty());
  SECTION("and more comes") { lines.feed("\n", {kRoom}, emit); }
  SECTION("and the request ends") { lines.flush({kRoom}, emit); }
  CHECK(texts == Texts{said(std::string(kFits, 'x')), said(std::string(kFits, 'x')),
                       said(std::string(1000 - 2 * kFits, 'x'))});
}

TEST_CASE("a limit below the decoration still makes progress") {
  const Texts texts = texts_of(std::string(200, 'x') + "\n", Last::close, true, 200, 10);
  CHECK(texts.size() == 4);
}

TEST_CASE("the stream and the process are named") {
  Texts texts;
  OutputLines lines(7, "stdout");
  lines.feed("hi\n", {kRoom}, [&](std::string_view text, OutputPart) { texts.emplace_back(text); });
  CHECK(texts == Texts{"child 7 said into stdout: \"hi\""});
}
