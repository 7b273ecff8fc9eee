import katex from "katex";
const o=()=>({displayMode:true,throwOnError:false,trust:false,strict:"ignore",maxSize:20,maxExpand:300,macros:{}});
function size(tree){let n=0,deep=0;const open=[[tree,0]];while(open.length){const [v,d]=open.pop();if(!v||typeof v!=='object')continue;n++;if(d>deep)deep=d;for(const k of Object.keys(v)){if(k==='loc'||k==='lexer'||k==='macros')continue;open.push([v[k],d+1])}if(n>200000)break;}return [n,deep]}
const R=(a,n)=>a.repeat(n);
for(const [k,t] of Object.entries({
 sup20:R("x^{",20)+"y"+R("}",20), sup40:R("x^{",40)+"y"+R("}",40), sup80:R("x^{",80)+"y"+R("}",80), frac20:R("\\frac{1}{",20)+"y"+R("}",20), frac40:R("\\frac{1}{",40)+"y"+R("}",40),frac80:R("\\frac{1}{",80)+"y"+R("}",80),
 sqrt80:R("\\sqrt{",80)+"y"+R("}",80), brace:R("{",900)+"x"+R("}",900), left:R("\\left(",80)+"x"+R("\\right)",80),
 mat:"\\begin{matrix}"+R("a&",1500)+"\\end{matrix}", long:R("x+y^2\\frac{a}{b}",250), honest:"\\int_{-\\infty}^{\\infty} e^{-\\frac{(x-\\mu)^2}{2\\sigma^2}} dx = \\sqrt{2\\pi\\sigma^2} \\begin{pmatrix} a_{11} & \\cdots \\\\ b & c \\end{pmatrix}",
 acc:R("\\hat{",60)+"x"+R("}",60), bf:R("\\mathrm ",200)+"x", bomb:"\\def\\a{\\b\\b\\b\\b}\\def\\b{\\c\\c\\c\\c}\\def\\c{\\d\\d\\d\\d}\\def\\d{xxxxxxxxxxxxxxxxxx}\\a\\a\\a\\a",
 deepmac:"\\def\\a#1{\\sqrt{\\sqrt{#1}}}"+R("\\a{",40)+"x"+R("}",40), mid:R("\\overline{",100)+"x"+R("}",100),
})){ let t0=performance.now(),p,e=""; try{p=katex.__parse(t,o())}catch(x){e=String(x).slice(0,60)} const t1=performance.now(); let s=p?size(p):[0,0]; const t2=performance.now(); let len=0; try{ if(!e) len=katex.renderToString(t,o()).length}catch(x){e=String(x).slice(0,50)} console.log(k.padEnd(8),t.length,"parse",(t1-t0).toFixed(0),"size",s.join("/"),"walk",(t2-t1).toFixed(0),"render",(performance.now()-t2).toFixed(0),"html",len,e)}
