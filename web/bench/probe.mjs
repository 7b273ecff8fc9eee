import { common, createLowlight, all } from "lowlight";
const L=createLowlight(all);
const names="bash c cpp csharp css diff dockerfile go ini java javascript json kotlin lua makefile markdown nginx php powershell python r ruby rust scss sql swift typescript xml yaml".split(" ");
const N=+process.argv[2]||2000;
const bombs=["[a](","/*","- ","a<","((((","`${","<a ","<?php ","f'{","\"","'","\\","/","a.","a ","@","#","$","{","}","<!--","&","*","_","`","~","=","<%","--","%","1","1e","0x","::","<<A\n","r#","//","a:","\t","a\n","\n","[","[[","!["," ","a=","$(","${","((a","function ","class A<","template<","new ","public ","a(", "a b "];
const out=[];
for(const n of names)for(const b of bombs){const t=b.repeat(Math.ceil(N/b.length));const t0=process.cpuUsage().user;let r="";try{const h=L.highlight(n,t);}catch(e){r=String(e).slice(0,40)}const d=(process.cpuUsage().user-t0)/1000;if(d>100||r)out.push([d,n,JSON.stringify(b),r])}
out.sort((a,b)=>b[0]-a[0]);for(const o of out.slice(0,40))console.log(o.join(" "));
