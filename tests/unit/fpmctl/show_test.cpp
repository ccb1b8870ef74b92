#include <boost/json.hpp>
#include <catch2/catch.hpp>

#include "tools/fpmctl/show.hpp"

namespace json = boost::json;

TEST_CASE("connections are a table and a line of how many are in each state") {
  const json::value door = json::parse(R"({"pool":"www","states":{"reading":1,"writing":2},
    "connections":[
      {"state":"writing","age":2500000,"in state":1500,"bytes in":80,"bytes out":4096,"requests":3,
       "remote":"127.0.0.1","request":"GET /long"},
      {"state":"reading","age":900,"in state":900,"bytes in":0,"bytes out":0,"requests":0,
       "remote":"::1","request":""}],
    "not shown":1})");
  CHECK(fpmctl::connection_table(door) ==
        "STATE      AGE  IN STATE  BYTES IN  BYTES OUT  REQUESTS  REMOTE     REQUEST\n"
        "writing   2.5s     1.5ms        80       4096         3  127.0.0.1  GET /long\n"
        "reading  0.9ms     0.9ms         0          0         0  ::1\n"
        "3 connections: 1 reading, 2 writing; 1 of them are not shown\n");
}

TEST_CASE("what strangers chose does not steer the terminal") {
  const json::value door = json::parse(
      "{\"connections\":[{\"remote\":\"\\u001b[2J\",\"request\":\"GET /\\u009b2J\\u00e9\\u007f\"}]}");
  const std::string table = fpmctl::connection_table(door);
  CHECK(table.find("?[2J") != table.npos);
  CHECK(table.find("GET /?2J\xc3\xa9?\n") != table.npos);
}

TEST_CASE("an answer without anything is a table of nothing") {
  CHECK(fpmctl::connection_table(json::parse("{}")) == "0 connections: \n");
}
