# What is installed and where, for install.sh and uninstall.sh. Sourced, with $prefix set.
# shellcheck shell=bash disable=SC2034,SC2154

programs=(syva-core syva-cli)
alias_of_cli=syvactl
# systemd looks below these two prefixes; for any other there is /etc.
case $prefix in
/usr | /usr/local) units=$prefix/lib/systemd/system ;;
*) units=/etc/systemd/system ;;
esac
