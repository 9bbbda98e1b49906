" Syntax of .bfm files for Vim: copy to ~/.vim/syntax/bfm.vim and add  au BufRead,BufNewFile *.bfm setfiletype bfm
if exists("b:current_syntax")
  finish
endif

syn keyword bfmDeclaration use block model layer router norm fn wiring optimizer schedule space search recipe check default
syn keyword bfmStructure repeat parallel at on role start from state recur loss metric require in
syn keyword bfmStatement shared let param next return if else where as
syn keyword bfmOperator and or not implies
syn keyword bfmReduction sum max min mean lse
syn keyword bfmBoolean true false
syn keyword bfmConstant none
syn keyword bfmType int real bool count width
syn keyword bfmFunction index top size pos exists arity draw stop select normal floor ceil exp log sqrt rsqrt tanh sigmoid erf softplus sin cos abs
syn match bfmNumber "\<\d[0-9_]*\(\.[0-9_]\+\)\?\([eE][+-]\?\d\+\)\?\([KMGT]i\?\)\?\>"
syn match bfmSign "->\|+=\|\.\.<\?\|\~"
syn region bfmString start=+"+ skip=+\\.+ end=+"+ oneline
syn match bfmComment "//.*$" contains=@Spell
syn match bfmDoc "//[/!].*$" contains=@Spell

hi def link bfmDeclaration Keyword
hi def link bfmStructure Structure
hi def link bfmStatement Statement
hi def link bfmOperator Operator
hi def link bfmReduction Function
hi def link bfmBoolean Boolean
hi def link bfmConstant Constant
hi def link bfmType Type
hi def link bfmFunction Function
hi def link bfmNumber Number
hi def link bfmSign Operator
hi def link bfmString String
hi def link bfmComment Comment
hi def link bfmDoc SpecialComment

setlocal commentstring=//\ %s shiftwidth=4 expandtab
let b:current_syntax = "bfm"
