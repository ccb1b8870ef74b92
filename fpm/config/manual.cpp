#include "fpm/config/manual.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "fpm/build_config.hpp"
#include "fpm/config/directives.hpp"
#include "fpm/config/values.hpp"

namespace fpm::config {
namespace {

/// Text that roff prints as it is.
std::string escaped(std::string_view text) {
  std::string out;
  if (!text.empty() && (text.front() == '.' || text.front() == '\'')) out += "\\&";
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

/// What stands behind the `=`, for a row's kind; one overload for each.
template <class Owner>
struct KindName {
  using D = Directive<Owner>;
  std::string operator()(const typename D::Text&) const { return "text"; }
  std::string operator()(const typename D::Path&) const { return "path"; }
  std::string operator()(const typename D::LogFile&) const { return "path | syslog"; }
  std::string operator()(const typename D::Flag&) const { return "yes | no"; }
  std::string operator()(const typename D::Number&) const { return "number"; }
  std::string operator()(const typename D::OptionalNumber&) const { return "number"; }
  std::string operator()(const typename D::Time&) const { return "time"; }
  std::string operator()(const typename D::Size&) const { return "size"; }
  std::string operator()(const typename D::ResourceLimit& field) const {
    return field.bytes ? "size | unlimited" : "number | unlimited";
  }
  std::string operator()(const typename D::Cpus&) const { return "numbers"; }
  std::string operator()(const typename D::Mode&) const { return "octal"; }
  std::string operator()(const typename D::Listen&) const { return "address"; }
  template <class Enum>
  std::string operator()(const typename D::template Choice<Enum>&) const {
    std::string out;
    for (const auto& word : words(Enum{})) {
      if (word.text.empty()) continue;
      if (!out.empty()) out += " | ";
      out += word.text;
    }
    return out;
  }
  std::string operator()(const typename D::CommaList&) const { return "text,text,..."; }
  std::string operator()(const typename D::BlankList&) const { return "text text ..."; }
  std::string operator()(const typename D::PathList&) const { return "path"; }
  std::string operator()(const typename D::UriList&) const { return "uri"; }
  std::string operator()(const typename D::Environment&) const { return "text"; }
  std::string operator()(const typename D::PhpValues& field) const {
    return field.flag ? "yes | no" : "text";
  }
};

std::string shown_default(std::string_view text) {
  constexpr std::string_view kFolder = FPM_LOCALSTATEDIR;
  if (text.substr(0, kFolder.size()) != kFolder) return std::string(text);
  return fmt::format("LOCALSTATEDIR{}", text.substr(kFolder.size()));
}

template <class Owner>
std::string entry(const Directive<Owner>& row) {
  std::string name(row.name);
  if (row.takes_index()) name += row.takes_key() ? "[NAME]" : "[]";
  std::string out =
      fmt::format(".TP\n\\fB{}\\fR = \\fI{}\\fR\n{}\n", escaped(name),
                  escaped(std::visit(KindName<Owner>{}, row.field)), escaped(row.doc));
  if (row.mandatory) out += "Must be set.\n";
  if (!row.default_text.empty()) {
    out += fmt::format("Default: \\fB{}\\fR.\n", escaped(shown_default(row.default_text)));
  }
  if (row.reload == Reload::needs_restart) {
    out += "A reload leaves it as it was: it needs a restart.\n";
  }
  return out;
}

template <class Owner>
std::string entries(std::span<const Directive<Owner>> rows) {
  std::string out;
  for (const Directive<Owner>& row : rows) out += entry(row);
  return out;
}

constexpr std::string_view kHead =
    R"(.\" Written by the unit test of the table of directives: change that table.
.TH FPM.CONF 5 "" "fpm" "File formats"
.SH NAME
fpm.conf \- configuration of the FastCGI process manager fpm
.SH DESCRIPTION
.BR fpm (8)
reads one file, and those that it includes.
The format and most of the names are php\-fpm's: its files mean the same here.
.SS Format
Lines of the form \fIname\fR = \fIvalue\fR belong to the section above them: \fB[global]\fR, which
is also what comes before any section, or \fB[\fIname\fB]\fR, which is a pool of that name.
A section that comes again goes on.
Names are taken in any case; of a directive that stands twice the later one counts, but those
with brackets (\fBenv[NAME]\fR, \fBcgi.allow[]\fR) may be given often.
A \fB;\fR begins a comment.
.PP
Quotes keep blanks and semicolons: "text", in which \e" is a quote, or 'text'.
\fB${NAME}\fR, but not in single quotes, is the variable NAME of the environment that fpm was started
with; if it is not set the configuration is refused, unless it is written
\fB${NAME:\-default}\fR.
In a pool \fB$pool\fR is its name.
.TP
\fBinclude\fR = \fIpattern\fR
Reads the files that match (see
.BR glob (7)),
in the order of their names, as if they stood here. At most 5 files deep.
.SS Values
.TP
.I yes | no
Also on, true, 1 and off, false, none, 0.
.TP
.I path
A relative one is below the \fBprefix\fR of the pool, else below the folder of option \fB\-p\fR, else
below the folder of the main file.
.TP
.I time
A whole number with \fBs\fR, \fBm\fR, \fBh\fR, \fBd\fR or \fBms\fR behind it; seconds without.
.TP
.I size
A whole number of bytes; \fBK\fR, \fBM\fR or \fBG\fR may follow.
.TP
.I address
The path of a UNIX socket, or \fIport\fR, \fIhost\fR:\fIport\fR, [\fIIPv6\fR]:\fIport\fR.
)";

constexpr std::string_view kTail = R"(.SH EXAMPLES
CGI scripts below one folder, behind a web server of the group www\-data:
.PP
.EX
[global]
error_log = /var/log/fpm.log
.PP
[scripts]
user = scripts
listen = /run/fpm/$pool.sock
listen.group = www\-data
pm = dynamic
pm.max_children = 20
pm.min_spare_servers = 2
pm.max_spare_servers = 5
request_terminate_timeout = 60s
cgi.root = /srv/scripts
.EE
.PP
\fBfpm \-t\fR tells everything that is wrong with a configuration, \fBfpm \-tt\fR also what is in force.
.SH SEE ALSO
.BR fpm (8),
.BR glob (7)
)";

}  // namespace

std::string manual() {
  std::string out(kHead);
  out += ".SH GLOBAL DIRECTIVES\n" + entries(global_directives());
  out += ".SH DIRECTIVES OF A POOL\n" + entries(pool_directives());
  out += kTail;
  return out;
}

}  // namespace fpm::config
