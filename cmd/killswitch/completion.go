package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions/all"
)

// completion prints what a shell completes the command line with.
func completion(_ context.Context, p program, args []string) error {
	args, err := parse(flag.NewFlagSet("completion", flag.ContinueOnError), p, args)
	if err != nil {
		return err
	}
	if len(args) != 1 || !slices.Contains([]string{"bash", "zsh"}, args[0]) {
		return fmt.Errorf("%w: say bash or zsh", errUsage)
	}
	if args[0] == "zsh" {
		_, _ = fmt.Fprintln(p.out, "autoload -U +X bashcompinit && bashcompinit")
	}
	_, err = fmt.Fprint(p.out, completionScript())
	return err
}

// personFlags are those of the commands that people sign.
const personFlags = "--config --server --queue --requests-table --runs-table --output --yes --reason"

func completionScript() string {
	var commands, people, actions []string
	for _, c := range subcommands() {
		commands = append(commands, c.name)
	}
	for _, c := range commandLine {
		if c.name != "request" && c.name != "approve" {
			people = append(people, c.name)
		}
	}
	var options strings.Builder
	for _, a := range all.Actions {
		s := a.Spec()
		actions = append(actions, string(s.Name))
		var words []string
		for _, key := range slices.Concat(s.Target.Options, s.Options) {
			if len(s.Values[key]) == 0 {
				words = append(words, key+"=")
			}
			for _, v := range s.Values[key] {
				words = append(words, key+"="+v)
			}
		}
		fmt.Fprintf(&options, "        %s) words=\"%s %s\" ;;\n", s.Name, strings.Join(words, " "), personFlags)
	}
	flagsOf := func(set *flag.FlagSet) string {
		var names []string
		set.VisitAll(func(f *flag.Flag) { names = append(names, "--"+f.Name) })
		return strings.Join(names, " ")
	}
	return fmt.Sprintf(`_killswitch() {
  local words cur=${COMP_WORDS[COMP_CWORD]}
  if [[ $COMP_CWORD == 1 ]]; then
    words="%s"
  else
    case ${COMP_WORDS[1]} in
    request)
      if [[ $COMP_CWORD == 2 ]]; then
        words="%s"
      else
        case ${COMP_WORDS[2]//-/_} in
%s        esac
      fi ;;
    approve) words="%s --break-glass" ;;
    %s) words="%s" ;;
    policy) words="responder restorer delegation --organizations --config" ;;
    template) words="members organization hub-role --config" ;;
    init) words="%s" ;;
    doctor) words="%s" ;;
    completion) words="bash zsh" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -o nospace -F _killswitch killswitch
`, strings.Join(commands, " "), strings.Join(actions, " "), options.String(), personFlags, strings.Join(people, "|"), personFlags, flagsOf((&initOptions{}).flags()),
		flagsOf((&doctorOptions{}).flags(func(string) string { return "" })))
}
